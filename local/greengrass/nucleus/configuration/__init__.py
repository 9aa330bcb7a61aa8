"""The nucleus' configuration: kept, merged, and put into recipes."""

"""Commands and group reboots: their values, and the decisions on their next steps. Pure."""

"""One file per DynamoDB table: its keys, its conditions, its pages. Imports ``domain`` and ``aws``."""

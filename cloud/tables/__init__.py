"""One file per DynamoDB table: keys, conditions, and rows as dataclasses."""

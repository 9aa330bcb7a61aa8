"""DynamoDB calls that several tables share."""

"""Conversion of values to DynamoDB rows and back. No call is made here."""

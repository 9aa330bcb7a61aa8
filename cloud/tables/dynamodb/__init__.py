"""Calls of DynamoDB that several tables make."""

"""How values are rows, in DynamoDB's words. No call is made here."""

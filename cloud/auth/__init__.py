"""Authentication and authorisation of callers. The authorizer imports this: no AWS SDK, no pydantic."""

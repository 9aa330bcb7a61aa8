"""Who is asking, and what they may do. The authorizer imports this, so: no SDK of AWS, no pydantic."""

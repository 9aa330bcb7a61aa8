"""The authorizer, the health of the API, its OpenAPI description."""

"""The OpenAPI description, generated from the models into docs/openapi.json, which Lambdas only read."""

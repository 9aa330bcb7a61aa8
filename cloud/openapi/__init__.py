"""The API's description, generated from the models into docs/openapi.json; Lambdas know where it is only."""

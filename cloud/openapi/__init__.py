"""The API's description, generated from the models into docs/openapi.json; no Lambda imports it."""

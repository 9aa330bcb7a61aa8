"""The path of the OpenAPI document, in a checkout and in the Lambdas' zip alike."""

from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"

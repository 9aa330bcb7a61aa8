"""Configuration values as Nucleus Lite hands them over: lists and maps may come as JSON in a string."""

import json


def from_json(value: object) -> object:
    """Unpack a list or map that came as JSON in a string; anything else is left as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):  # the latter for what is nested too deeply
            return value
    return value

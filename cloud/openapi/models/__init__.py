"""What the API answers, as models. They describe; the handlers build their answers without them.

``tests/api`` holds every answer of the running API against them.
"""

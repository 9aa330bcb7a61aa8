"""Models of the API's answers. They describe; the handlers build their answers without them.

``tests/conformance`` checks every answer of the running API against the document that is made of them.
"""

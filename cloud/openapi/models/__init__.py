"""Models of the API's answers. They describe; the handlers build their answers without them.

Every answer of a handler in a test is held against its model (``tests/support/cloud/answers.py``), and those
of the running API against the document that is made of them (``tests/conformance``).
"""

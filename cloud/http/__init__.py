"""The API's framing: requests read, answers written, calls audited. Imports all but ``functions``."""

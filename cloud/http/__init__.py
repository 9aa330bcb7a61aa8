"""The HTTP layer: requests read, answers written, calls audited. Imports all but ``functions``."""

"""How containers do over time: checks, restarts, what they take. Imports ``model``, ``plan`` and ``store``."""

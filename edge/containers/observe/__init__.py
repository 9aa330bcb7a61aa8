"""How containers do: checks, restarts, what they take. Imports ``model``, ``plan`` and ``store``."""

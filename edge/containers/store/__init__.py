"""Files on applications in the agent's state folder. Imports ``model`` and ``plan``."""

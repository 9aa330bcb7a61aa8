"""What the agent remembers of applications, in files of its state folder. Imports ``model`` and ``plan``."""

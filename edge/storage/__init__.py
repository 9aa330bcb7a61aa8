"""Files of the agent and their folder: whole at every moment, had by one agent, changed by no one else.

The standard library only, in ``safe_folder``: the installer runs it before anything is installed.
"""

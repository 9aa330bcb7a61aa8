"""Files of the agent and their folder: atomic writes, one agent at a time, writable by nobody else.

The standard library only, in ``safe_folder``: the installer runs it before anything is installed.
"""

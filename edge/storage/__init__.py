"""Files of the agent and their folder: atomic writes, one agent at a time, writable by nobody else.

``safe_folder`` uses the standard library only: the installer runs it before anything is installed.
"""

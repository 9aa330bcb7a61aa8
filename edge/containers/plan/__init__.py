"""Every decision on applications, made from values. Pure. Imports ``model``, and no other folder."""

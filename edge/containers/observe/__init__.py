"""Observation of containers: checks, restarts, resource usage. Imports ``model``, ``plan`` and ``store``."""

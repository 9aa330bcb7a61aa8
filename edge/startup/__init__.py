"""Startup: takes the folder over, moves in an earlier version's state, chooses the settings."""

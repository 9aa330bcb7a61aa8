"""Carrying out what was planned: engine calls, pulls, secrets, waiting. Decides nothing. Imports all beside it."""

"""Carrying out what was planned: engine calls, pulls, secrets. Decides nothing. Imports all beside it."""

"""Execution of the plan: engine calls, pulls, secrets. Decides nothing. Imports all beside it."""

"""Child processes, started and ended, and what a killed platform left. Imports nothing beside it."""

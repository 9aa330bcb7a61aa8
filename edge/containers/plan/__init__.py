"""The planner: every decision on applications, made from values. Pure. Imports only ``model``."""

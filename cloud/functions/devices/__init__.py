"""Devices, read: one, many, its past, and why it is not as desired."""

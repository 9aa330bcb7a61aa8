"""Decisions on commands, from facts alone. Pure: no clock, disk, network, thread or logger."""

"""Reboots of a whole group, in waves."""

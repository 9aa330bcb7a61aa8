"""Devices: their messages, their presence, and the diagnosis of why one is not as desired. Pure."""

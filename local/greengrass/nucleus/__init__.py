"""A stand-in for one Greengrass core device: nucleus, token exchange and the power of the machine.

It shares no code with what it is there to prove: nothing here imports ``edge`` or ``cloud``.
"""

"""The wire contract: every message, document and topic name that device and cloud share, nothing else.

Imports pydantic and the standard library only; reads no clock, opens no file. Both artifacts carry it.
"""

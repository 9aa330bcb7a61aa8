"""The local AWS: ministack, started and patched. Runs in ministack's own virtualenv.

Modules here import ministack, what ministack depends on, and the standard library; nothing else.
"""

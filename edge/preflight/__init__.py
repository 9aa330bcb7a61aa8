"""Preflight: checks what a document would come to on this device, before anything changes."""

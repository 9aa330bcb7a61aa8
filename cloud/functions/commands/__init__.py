"""Commands to one device: sent, listed, followed."""

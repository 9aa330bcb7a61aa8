"""A device in the cloud's eyes: its messages, its presence, and why it is not as desired. Pure."""

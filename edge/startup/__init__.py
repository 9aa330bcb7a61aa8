"""How the agent starts: its folder taken over, an earlier version's state moved in, the settings to go by."""

"""The container engine: the port that the rest of the agent knows, and its one adapter."""

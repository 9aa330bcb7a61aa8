"""The container engine: the one adapter of its port."""

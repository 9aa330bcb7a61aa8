"""Log lines and metrics, which every folder may use."""

"""The link to the nucleus: the adapter of its IPC, and its reconnection."""

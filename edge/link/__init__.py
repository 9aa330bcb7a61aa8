"""The link to the nucleus: the adapter of its IPC, and how it is kept up."""

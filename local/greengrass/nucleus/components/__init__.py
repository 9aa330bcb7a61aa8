"""Components: their environment, lifecycle, processes, and the owner of their files."""

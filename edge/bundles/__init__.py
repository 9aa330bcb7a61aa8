"""Log bundles: gathered on disk within bounds, uploaded, and removed."""

"""Bundles of logs: gathered on disk within bounds, uploaded, and gone."""

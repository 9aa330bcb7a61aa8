"""Deployments: made, listed, followed."""

"""Deployments on a core device: heard of, resolved, carried out, put back."""

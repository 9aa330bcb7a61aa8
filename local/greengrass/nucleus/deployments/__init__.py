"""Deployments on a core device: received, resolved, carried out, rolled back."""

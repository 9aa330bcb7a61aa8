"""Deployments: what a revision is made of, what became of it, and what a group allows. Pure."""

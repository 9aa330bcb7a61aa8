"""Deployments: what a new revision is made of, and how its submission is finished. Never imports an SDK."""

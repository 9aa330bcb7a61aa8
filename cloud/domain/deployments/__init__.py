"""Deployments: a revision's content, its outcomes on devices, and the rules of groups. Pure."""

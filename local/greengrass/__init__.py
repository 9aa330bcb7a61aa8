"""Greengrass on this machine: core devices, and the control plane that deploys to them."""

"""The images that devices may pull."""

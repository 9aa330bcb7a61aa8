"""Engines, images and the registry that devices pull through, real and in memory."""

"""The agent's ports to the outside, each with the errors it may raise. Imports no adapter."""

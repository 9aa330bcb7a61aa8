"""What the agent needs of the world outside, each with the errors it may raise. Imports no adapter."""

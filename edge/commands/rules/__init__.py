"""What to do with a command, from facts alone. Pure: no clock, disk, network, thread or logger."""

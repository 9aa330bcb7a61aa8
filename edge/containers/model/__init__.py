"""Values that all folders beside this one share. Pure: no clock, disk, network, thread or logger."""

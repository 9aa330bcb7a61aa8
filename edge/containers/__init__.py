"""Applications on the device: what is wanted, what is there, and the steps from one to the other."""

"""AWS on this machine: the emulator, its account and users, publishing to it."""

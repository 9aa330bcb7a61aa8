"""Which desired document this device follows: found, examined, taken when nothing forbids it."""

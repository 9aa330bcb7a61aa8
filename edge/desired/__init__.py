"""The desired document that this device follows: fetched, examined, taken when nothing forbids it."""

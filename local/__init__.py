"""The local platform: all of fleetgrass on one machine, for the demo, the tests and anyone who tries it."""

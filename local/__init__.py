"""The whole platform on one machine, for the demo, the tests and anyone who tries fleetgrass."""

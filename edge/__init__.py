"""The component io.fleetgrass.Agent: reports its device, keeps containers as desired, reboots with proof."""

VERSION = "0.1.0"

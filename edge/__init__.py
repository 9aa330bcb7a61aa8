"""The component io.fleetgrass.Agent: reports its device, keeps containers as desired, reboots with proof."""

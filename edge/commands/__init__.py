"""Commands to this device: judged once, remembered across reboots, always answered."""

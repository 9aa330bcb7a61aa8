"""Commands to this device: judged once, remembered through reboots, always answered."""

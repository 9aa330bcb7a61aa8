"""The machine under the agent: its health, its disks, which boot this is, and how it is rebooted."""

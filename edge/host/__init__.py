"""The host machine: its health, its disks, its boot id, and its reboot."""

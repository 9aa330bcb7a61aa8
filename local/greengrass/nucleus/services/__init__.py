"""Services of the nucleus for its components: the broker, credentials, the machine's containers."""

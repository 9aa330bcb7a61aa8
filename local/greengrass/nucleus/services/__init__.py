"""What the nucleus has for its components: the broker, credentials, the containers of its machine."""

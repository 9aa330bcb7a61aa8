"""What the agent is told from outside: its component's configuration, its environment, its policy."""

"""The agent's configuration: the component's configuration, the environment, the policy."""

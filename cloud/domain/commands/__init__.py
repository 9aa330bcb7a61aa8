"""Commands and group reboots: what their rows mean, and what comes next. Pure."""

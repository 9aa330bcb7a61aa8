"""Event handlers, which no caller of the API invokes: messages of devices, queues, the timer."""

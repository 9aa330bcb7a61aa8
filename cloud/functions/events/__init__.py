"""What no caller asks for: messages of devices, queues, the timer."""

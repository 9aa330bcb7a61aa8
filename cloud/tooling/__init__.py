"""What an administrator runs: build the functions' code, deploy the stack, enrol a device."""

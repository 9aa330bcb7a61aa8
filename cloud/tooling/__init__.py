"""The administrator's tools: build the functions' code, deploy the stack, enrol a device."""

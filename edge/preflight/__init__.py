"""What a proposed configuration would come to on this device, looked into before anything changes."""

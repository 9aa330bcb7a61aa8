"""Messages of the device: reports made, put in order, kept until they are delivered."""

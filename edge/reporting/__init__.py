"""What the device says of itself: reports made, put in order, kept until they are delivered."""

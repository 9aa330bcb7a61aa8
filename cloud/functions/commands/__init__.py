"""Operations on commands to one device: send, list, get."""

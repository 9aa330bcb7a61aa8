"""Operations on groups and their members."""

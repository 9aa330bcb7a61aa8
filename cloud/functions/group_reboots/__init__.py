"""Operations on group reboots: a whole group, in waves."""

"""Operations that read devices: list, get, history, diagnosis."""

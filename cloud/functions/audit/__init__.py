"""Operations on the audit: list, export, verify."""

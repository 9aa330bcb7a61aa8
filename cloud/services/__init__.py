"""What takes more than one table or service: sending, submitting, moving. Imports no ``http``."""

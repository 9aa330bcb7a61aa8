"""Services over more than one table or AWS service: sending, submitting, moving. Imports no ``http``."""

"""Answers and requests of the Docker Engine API, as values of ``ports.engine``. Pure: no SDK here."""

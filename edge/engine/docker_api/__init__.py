"""What the Docker Engine API says and is told, as values of ``engine.port``. Pure: the SDK is not here."""

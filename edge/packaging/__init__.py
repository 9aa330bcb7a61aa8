"""How the component becomes an artifact (``build.py``) and how a device installs it (``install.py``)."""

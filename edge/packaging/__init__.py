"""Packaging: the component's artifact (``build.py``) and its installation on a device (``install.py``)."""

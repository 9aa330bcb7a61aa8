"""A simulated Docker Engine, for machines where no real one can be had: ``make demo ENGINE=memory``.

Real: its HTTP API as the docker SDK speaks it, names, labels, states, pulls (manifest, configuration
and layers are fetched from the registry with the login that came, and their digests are checked).
Simulated: containers. None is a process; each is an entry in memory, and a small loopback server that
answers the page which the image's labels describe. It proves nothing of cgroups, networks, signals or disks.
"""

"""One component: what it is started with, its life, its processes, whose its files are."""

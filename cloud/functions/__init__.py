"""One file per Lambda, named as its operation."""

"""One file per Lambda, named as its operation, in a folder per tag of the API. None imports another."""

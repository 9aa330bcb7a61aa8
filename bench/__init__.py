"""How fast and how small the device's side is, beside its floors and peers in the same run."""

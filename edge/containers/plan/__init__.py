"""Every decision on applications, made from values. Pure, as ``model`` is, which it may import; no other folder."""

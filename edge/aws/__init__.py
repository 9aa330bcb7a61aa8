"""Access to AWS: the desired document, registry logins and secrets.

boto3 costs 30 MB that are never given back, so it lives in a child process (``python -m edge.aws``)
that ends after one answer; nothing here but ``__main__`` and ``calls`` imports it.
"""

"""The wiring: every adapter with its client and its variable of the environment, a file for each.

So a function imports what it uses, and its cold start pays for nothing else. What takes long, the client, is
kept by ``cloud.aws.clients``; the adapter around it is made anew for each call. That each adapter is what its
port asks for is checked here, by mypy. Imports nothing of ``http``.
"""

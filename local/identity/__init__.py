"""The local OpenID Connect provider."""

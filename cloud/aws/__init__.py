"""Adapters, one file per AWS service; each lets only cloud.aws.errors through."""

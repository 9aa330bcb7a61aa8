"""Adapters, one file per AWS service; each raises only cloud.aws.errors."""

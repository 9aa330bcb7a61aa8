"""Adapters, one file per AWS service, to the ports in ``cloud.ports``; each raises only cloud.aws.errors."""

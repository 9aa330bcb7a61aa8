"""The account's repositories and images, as lists."""

from cloud.aws import catalog as adapter
from cloud.aws.account import Account
from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.ports.catalog import Catalog


def catalog(account: Account) -> Catalog:
    return adapter.Catalog(client("ecr"), account.id, ENVIRONMENT.repository_prefix)

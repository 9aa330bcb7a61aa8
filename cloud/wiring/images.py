"""The account's images, one by one."""

from cloud.aws import ecr
from cloud.aws.account import Account
from cloud.aws.clients import client
from cloud.ports.images import Images


def images(account: Account) -> Images:
    return ecr.Images(client("ecr"), account.id)

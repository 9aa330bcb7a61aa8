"""The queue of wake-ups."""

from cloud.aws import sqs
from cloud.aws.clients import client
from cloud.environment import ENVIRONMENT
from cloud.ports.messages import Queue


def wake_ups() -> Queue:
    return sqs.Queue(lambda: client("sqs"), ENVIRONMENT.group_reboot_queue_url)

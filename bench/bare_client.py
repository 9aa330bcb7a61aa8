"""``python -m bench.bare_client``: what any component costs that uses the official SDK: it is connected."""

import sys

from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

client = GreengrassCoreIPCClientV2()
print("connected", flush=True)
sys.stdin.read()

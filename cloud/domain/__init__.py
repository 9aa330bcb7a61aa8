"""What the cloud knows and decides, as values. Pure: no clock, environment, network, table or SDK.

One folder a resource; what they share is here. Imports ``contract`` only.
"""

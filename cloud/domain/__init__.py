"""The cloud's domain model and decisions, as values. Pure: no clock, environment, network, table or SDK.

One folder per resource; what they share is here. Imports ``contract`` only.
"""

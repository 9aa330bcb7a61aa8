"""A stand-in for the Greengrass v2 control plane: what AWS offers under ``/greengrass/v2``, on this machine.

Component versions and deployments are kept in a folder; every deployment is a real IoT Job of the
emulator, so devices take it from MQTT as they would from AWS. Callers were authenticated and authorised
before a request arrives here (the emulator's launcher does it).
"""

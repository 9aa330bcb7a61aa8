"""Nothing of the caller's AWS (a sourced local/.env, a profile, a region) reaches these tests.

How long an example takes says how busy the machine is, and nothing of our code.
"""

import os

from hypothesis import HealthCheck, settings

for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

settings.register_profile("busy-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy-machine")

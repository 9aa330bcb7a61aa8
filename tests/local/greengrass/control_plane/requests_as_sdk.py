"""boto3's greengrassv2 client, and the requests most tests make with it."""

from typing import Any

import boto3
import yaml
from botocore.config import Config

REGION = "eu-west-1"
ACCOUNT = "000000000000"
GROUP = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/line-3"
THING = f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/robot-7"
NUCLEUS = {"aws.greengrass.Nucleus": {"componentVersion": "2.18.0"}}


def client_of(endpoint_url: str) -> Any:
    """Return a client that tries once, so that a test sees each answer."""
    return boto3.client(
        "greengrassv2",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
    )


def component_arn(name: str = "com.example.Web", version: str | None = None) -> str:
    """Return the ARN of an account's component, or of one version of it."""
    arn = f"arn:aws:greengrass:{REGION}:{ACCOUNT}:components:{name}"
    return arn if version is None else f"{arn}:versions:{version}"


def a_recipe(*, name: str = "com.example.Web", version: str = "1.0.0", **changes: Any) -> bytes:
    """Return a small good recipe as YAML; ``changes`` replace or add root keys, None removes one."""
    recipe: dict[str, Any] = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentPublisher": "us",
        "Manifests": [
            {
                "Platform": {"os": "linux", "architecture": "amd64", "runtime": "*"},
                "Lifecycle": {"run": {"Script": "sleep 60"}},
            }
        ],
    }
    return yaml.safe_dump({k: v for k, v in (recipe | changes).items() if v is not None}).encode()

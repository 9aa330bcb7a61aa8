"""A device's files: certificate, private key, Amazon's root CAs, nucleus configuration."""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from cloud.domain.deployments.greengrass_components import TIME_SOURCE
from contract.names import Nucleus

#: The bundle names each certificate's subject in a comment before it.
_AMAZON_ROOT = re.compile(
    r"^# Subject: CN=Amazon Root CA \d[^\n]*\n(?:#[^\n]*\n)*"
    r"(-----BEGIN CERTIFICATE-----\n.+?-----END CERTIFICATE-----)",
    re.S | re.M,
)
_CLASSIC_ROOT, _LITE_ROOT = "/greengrass/v2", "/var/lib/greengrass"
#: Whom Lite's packages make for components.
_LITE_USER = "gg_component:gg_component"


class DeviceFiles:
    """A folder of one device's files. Only the private key is secret; it is readable by its owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate_path = folder / "device.pem.crt"
        self.key_path = folder / "private.pem.key"
        self._arn_path = folder / "certificate.arn"
        self.ca_path = folder / "AmazonRootCA.pem"
        self.configuration_path = folder / "config.yaml"

    def as_mapping(self) -> Mapping[str, str]:
        """Return the paths, absolute."""
        return {
            "certificate": str(self.certificate_path.resolve()),
            "private_key": str(self.key_path.resolve()),
            "ca": str(self.ca_path.resolve()),
            "configuration": str(self.configuration_path.resolve()),
        }

    def certificate_arn(self) -> str | None:
        """Return which certificate of the registry is in the folder; None unless it is whole."""
        written = (self.key_path, self.certificate_path, self._arn_path)
        return self._arn_path.read_text().strip() if all(path.exists() for path in written) else None

    def write_identity(self, certificate: str, private_key: str, arn: str) -> None:
        """Write key, certificate and, last, which one it is: all are there or the next run makes others."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write(self.key_path, private_key, mode=0o600)
        self._write(self.certificate_path, certificate)
        self._write(self._arn_path, arn + "\n")

    def write_configuration(
        self,
        *,
        nucleus: Nucleus,
        thing: str,
        region: str,
        role_alias: str,
        data_endpoint: str,
        credentials_endpoint: str,
    ) -> None:
        """Write the root CAs and the nucleus' initial configuration, as its installer takes it.

        Sources: Greengrass developer guide, "Install with manual resource provisioning"; of Lite (2.6.0)
        docs/examples/sample_nucleus_config.yaml, read from /etc/greengrass/config.yaml.
        """
        self._write(self.ca_path, amazon_root_cas())
        lite = nucleus is Nucleus.LITE
        root = _LITE_ROOT if lite else _CLASSIC_ROOT
        own = {"runWithDefault": {"posixUser": _LITE_USER}} if lite else TIME_SOURCE
        configuration = {
            "system": {
                "certificateFilePath": f"{root}/{self.certificate_path.name}",
                "privateKeyPath": f"{root}/{self.key_path.name}",
                "rootCaPath": f"{root}/{self.ca_path.name}",
                "rootPath" if lite else "rootpath": root,
                "thingName": thing,
            },
            "services": {
                "aws.greengrass.NucleusLite" if lite else "aws.greengrass.Nucleus": {
                    "componentType": "NUCLEUS",
                    "configuration": {
                        "awsRegion": region,
                        "iotRoleAlias": role_alias,
                        "iotDataEndpoint": data_endpoint,
                        "iotCredEndpoint": credentials_endpoint,
                        **own,
                    },
                }
            },
        }
        # JSON is YAML, and quotes names such as 0755 or no as YAML needs them.
        self._write(self.configuration_path, json.dumps(configuration, indent=2) + "\n")

    def _write(self, path: Path, text: str, *, mode: int = 0o644) -> None:
        handle, scratch = tempfile.mkstemp(dir=self._folder)  # 0600 from its first byte
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(mode)
        Path(scratch).rename(path)


def amazon_root_cas() -> str:
    """Return Amazon's root certificates, PEM, out of the bundle that botocore carries."""
    bundle = resources.files("botocore").joinpath("cacert.pem").read_text()
    return "\n".join(match[1] for match in _AMAZON_ROOT.finditer(bundle)) + "\n"

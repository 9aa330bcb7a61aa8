"""The device's policy: what containers may have, set with the component, never by a deployment. Pure.

Everything that reaches out of a container is forbidden until the device's owner allows it, whoever asks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from contract.applications import Application
from edge.lenient_values import from_json

#: What Docker gives every container that does not ask (moby, oci/caps/defaults.go): adding one adds nothing.
_GIVEN_ANYWAY = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
        "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_READ_ONLY = ":ro"


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must begin with /")
    return value


_Strings = Annotated[list[str], BeforeValidator(from_json)]
_Paths = Annotated[list[Annotated[str, AfterValidator(_absolute)]], BeforeValidator(from_json)]


class Policy(BaseModel):
    """The component configuration's ``policy``. Patterns are those of file names: ``*``, ``?``, ``[…]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    registries: _Strings = ["*"]  # patterns of the hosts that images name
    binds: _Paths = []  # each with all below it; with ``:ro`` at its end to be read only
    devices: _Paths = []  # patterns of device nodes, as applications name them
    capabilities: _Strings = []  # beyond Docker's own; ALL for any
    privileged: bool = False
    host_network: bool = False

    def refusal(self, application: Application, real: Callable[[str], str]) -> str | None:
        """Return the first rule that ``application`` breaks, and with what; None when it breaks none.

        ``real`` says where a path of the device leads through its links: a bind is judged by its end,
        because an application with a folder of its own could have put the link there.
        """
        return next(self._broken(application, real), None)

    def refusals(self, applications: Iterable[Application], real: Callable[[str], str]) -> Mapping[str, str]:
        """Return the applications that are refused, by name, each with its rule."""
        judged = ((each.name, self.refusal(each, real)) for each in applications)
        return {name: rule for name, rule in judged if rule is not None}

    def _broken(self, application: Application, real: Callable[[str], str]) -> Iterator[str]:
        host = application.image.partition("/")[0]
        if not any(fnmatchcase(host, pattern) for pattern in self.registries):
            yield f"policy.registries does not allow {host}"
        if application.privileged and not self.privileged:
            yield "policy.privileged does not allow privileged"
        if application.network_mode == "host" and not self.host_network:
            yield "policy.host_network does not allow network_mode host"
        for capability in application.cap_add:
            if capability not in _GIVEN_ANYWAY and not {capability, "ALL"} & set(self.capabilities):
                yield f"policy.capabilities does not allow cap_add {capability}"
        for i, bind in enumerate(application.binds):
            end = real(bind.source)
            if not _may_bind(end, self.binds, writing=not bind.read_only):
                yield f"policy.binds does not allow binds[{i}]: {_shown(bind.source, end, bind.read_only)}"
        for i, device in enumerate(application.devices):
            if not any(fnmatchcase(device.source, pattern) for pattern in self.devices):
                yield f"policy.devices does not allow devices[{i}]: {device.source}"


DEFAULT = Policy()


def _may_bind(path: str, allowed: Sequence[str], *, writing: bool) -> bool:
    for rule in allowed:
        root = rule.removesuffix(_READ_ONLY).rstrip("/")
        if (path == root or path.startswith(f"{root}/")) and not (writing and rule.endswith(_READ_ONLY)):
            return True
    return False


def _shown(source: str, end: str, read_only: bool) -> str:
    leads = "" if end == source else f" (leads to {end})"
    return f"{source}{leads}" if read_only else f"{source}{leads} to be written"

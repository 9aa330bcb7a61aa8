"""The port to the IoT registry, which knows the groups and their members."""

from dataclasses import dataclass
from typing import Protocol

from contract.names import Nucleus


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Names of groups as the registry lists them; ``cursor`` is its own, None on the last page."""

    groups: tuple[str, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """A thing group as the registry has it; ``nucleus`` is None while it is unknown."""

    nucleus: Nucleus | None
    has_members: bool


class Groups(Protocol):
    """Thing groups of one account and region."""

    def groups(self, *, cursor: str | None, limit: int, prefix: str | None = None) -> GroupPage: ...
    def group(self, group: str) -> Group: ...
    def create_group(
        self, group: str, description: str | None, *, made_by: str, nucleus: Nucleus | None = None
    ) -> None: ...
    def nucleus_of(self, group: str) -> Nucleus | None: ...
    def fix_nucleus(self, group: str, nucleus: Nucleus) -> Nucleus | None: ...
    def add(self, thing: str, group: str) -> None: ...
    def remove(self, thing: str, group: str) -> None: ...

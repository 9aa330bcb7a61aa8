"""The IoT registry: the truth about groups and who is in them."""

from dataclasses import dataclass
from typing import Any

from cloud.aws.clients import translated
from cloud.aws.errors import NotFound


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Names of groups as the registry lists them; ``cursor`` is its own, None on the last page."""

    groups: tuple[str, ...]
    cursor: str | None


class Registry:
    """Thing groups. ListThingsInThingGroup allows 25 calls a second: never call it per device."""

    def __init__(self, iot: Any) -> None:
        self._iot = iot

    def groups(self, *, cursor: str | None, limit: int, prefix: str | None = None) -> GroupPage:
        """Return at most ``limit`` (1 to 250) groups, those whose names begin with ``prefix``.

        Raises:
            Refused: the cursor is none that this gave.
        """
        asked: dict[str, Any] = {"maxResults": limit}
        if cursor is not None:
            asked["nextToken"] = cursor
        if prefix is not None:
            asked["namePrefixFilter"] = prefix
        with translated():
            page = self._iot.list_thing_groups(**asked)
        return GroupPage(
            tuple(one["groupName"] for one in page["thingGroups"]), page.get("nextToken") or None
        )

    def has_group(self, group: str) -> bool:
        """Return whether there is such a group."""
        try:
            with translated():
                self._iot.describe_thing_group(thingGroupName=group)
        except NotFound:
            return False
        return True

    def create_group(self, group: str, description: str | None, *, made_by: str) -> None:
        """Create a group; the same again changes nothing.

        AWS refuses a name that is taken only where the properties differ (API reference, CreateThingGroup):
        so who made it is one of them.

        Raises:
            Conflict: there is a group of this name, made by somebody else or otherwise.
        """
        about: dict[str, Any] = {"attributePayload": {"attributes": {"made_by": made_by}}}
        if description is not None:
            about["thingGroupDescription"] = description
        with translated():
            self._iot.create_thing_group(thingGroupName=group, thingGroupProperties=about)

    def groups_of(self, thing: str) -> frozenset[str]:
        """Return the groups that a thing is in itself.

        Raises:
            NotFound: there is no such thing.
        """
        with translated():
            page = self._iot.list_thing_groups_for_thing(thingName=thing, maxResults=100)
        return frozenset(one["groupName"] for one in page["thingGroups"])

    def add(self, thing: str, group: str) -> None:
        """Put a thing into a group; the same again changes nothing.

        Raises:
            NotFound: there is no such thing or group.
        """
        with translated():
            self._iot.add_thing_to_thing_group(thingName=thing, thingGroupName=group)

    def remove(self, thing: str, group: str) -> None:
        """Take a thing out of a group; where either is not there, it is out already."""
        try:
            with translated():
                self._iot.remove_thing_from_thing_group(thingName=thing, thingGroupName=group)
        except NotFound:
            return

    def group_has_members(self, group: str) -> bool:
        """Return whether anything is in ``group`` or its child groups.

        Raises:
            NotFound: there is no such group.
        """
        with translated():
            self._iot.describe_thing_group(thingGroupName=group)
        following: dict[str, str] = {}
        while True:
            with translated():
                page = self._iot.list_things_in_thing_group(
                    thingGroupName=group, recursive=True, maxResults=1, **following
                )
            if page["things"]:
                return True
            if not page.get("nextToken"):
                return False
            following = {"nextToken": page["nextToken"]}

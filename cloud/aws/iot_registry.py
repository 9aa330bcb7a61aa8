"""The IoT registry: the source of truth for groups (thing groups) and their members."""

from collections.abc import Mapping
from typing import Any

from cloud.aws.clients import translated
from cloud.aws.errors import Conflict, NotFound, Unavailable
from cloud.ports.groups import Group, GroupPage
from contract.names import Nucleus, known_nucleus

#: The attribute of a thing group that says which nucleus its devices have; once there, it stays.
NUCLEUS_ATTRIBUTE = "nucleus"
_MADE_BY = "made_by"
_ATTEMPTS = 3  # to write an attribute that others write at the same moment


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

    def nucleus_of(self, group: str) -> Nucleus | None:
        """Return the nucleus of ``group``; None while it is unknown.

        Raises:
            NotFound: there is no such group.
        """
        return known_nucleus(_attributes(self._describe(group)).get(NUCLEUS_ATTRIBUTE))

    def fix_nucleus(self, group: str, nucleus: Nucleus) -> Nucleus | None:
        """Set the nucleus of ``group`` unless it has one already; return the one that it has then.

        None where that is an unknown text, which is left as it is.

        Raises:
            NotFound: there is no such group.
            Unavailable: others changed the group again and again.
        """
        for _ in range(_ATTEMPTS):
            found = self._describe(group)
            attributes = _attributes(found)
            said = attributes.get(NUCLEUS_ATTRIBUTE)
            if said is not None:
                return known_nucleus(said)
            every = {**attributes, NUCLEUS_ATTRIBUTE: nucleus.value}
            about: dict[str, Any] = {"attributePayload": {"attributes": every}}
            description = found.get("thingGroupProperties", {}).get("thingGroupDescription")
            if description is not None:
                about["thingGroupDescription"] = description
            try:
                with translated():
                    self._iot.update_thing_group(
                        thingGroupName=group, thingGroupProperties=about, expectedVersion=found["version"]
                    )
            except Conflict:
                continue
            return nucleus
        raise Unavailable(f"the group {group} is contended")

    def create_group(
        self, group: str, description: str | None, *, made_by: str, nucleus: Nucleus | None = None
    ) -> None:
        """Create a group; the same again changes nothing, whatever became known of the group meanwhile.

        AWS refuses a name that is taken only where the properties differ (API reference, CreateThingGroup):
        so who made it is one of them.

        Raises:
            Conflict: there is a group of this name, made by somebody else or otherwise.
        """
        attributes = {_MADE_BY: made_by}
        if nucleus is not None:
            attributes[NUCLEUS_ATTRIBUTE] = nucleus.value
        about: dict[str, Any] = {"attributePayload": {"attributes": attributes}}
        if description is not None:
            about["thingGroupDescription"] = description
        try:
            with translated():
                self._iot.create_thing_group(thingGroupName=group, thingGroupProperties=about)
        except Conflict:
            if _attributes(self._describe(group)).get(_MADE_BY) != made_by:
                raise

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

    def group(self, group: str) -> Group:
        """Return the nucleus of ``group``, and whether a device is in it or in its child groups.

        Raises:
            NotFound: there is no such group.
        """
        nucleus = known_nucleus(_attributes(self._describe(group)).get(NUCLEUS_ATTRIBUTE))
        following: dict[str, str] = {}
        while True:
            with translated():
                page = self._iot.list_things_in_thing_group(
                    thingGroupName=group, recursive=True, maxResults=1, **following
                )
            if page["things"]:
                return Group(nucleus, has_members=True)
            if not page.get("nextToken"):
                return Group(nucleus, has_members=False)
            following = {"nextToken": page["nextToken"]}

    def _describe(self, group: str) -> Mapping[str, Any]:
        with translated():
            found: Mapping[str, Any] = self._iot.describe_thing_group(thingGroupName=group)
        return found


def _attributes(described: Mapping[str, Any]) -> Mapping[str, str]:
    payload = described.get("thingGroupProperties", {}).get("attributePayload", {})
    attributes: Mapping[str, str] = payload.get("attributes", {})
    return attributes

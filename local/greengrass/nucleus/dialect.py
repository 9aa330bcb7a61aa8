"""Dialects of the nucleus: the differences of classic (Java), released Lite and Lite's main, as data.

Classic's behaviour was seen on 2.18, Lite's on the released 2.6.0; the recordings that Lite is held against
(``tests/local/greengrass/nucleus/transcripts``) were made on its main, which calls itself 2.6.0 too and
differs in what it makes of ``{iot:thingName}``. Where only bounds are known, the number chosen lies between
them and says so.
"""

from dataclasses import dataclass, replace
from typing import Literal

Name = Literal["classic", "lite", "lite-main"]

_UNBOUNDED = 1 << 40


@dataclass(frozen=True, slots=True)
class JsonBudget:
    """The limit on the JSON of one local message: each list element and map pair has its cost."""

    element_cost: int
    pair_cost: int
    delivered: int  # above it: answered with success, and every subscription it matches ends silently
    published: int  # above it: "Failed to publish the message."
    parsed: int  # above it: the request itself cannot be read
    delivered_depth: int  # deeper maps: answered with success, not delivered, the subscription goes on
    published_depth: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """The behaviour of one kind of nucleus where they differ."""

    name: Name
    kind: Literal["classic", "lite"]
    version: str
    packet_bytes_after_prelude: int
    value_bytes: int
    answer_bytes: int
    inbound_mqtt_bytes: int
    access_control_bytes: int  # what one service's policies may take in memory, or all are refused
    json_budget: JsonBudget | None
    answers_ping: bool
    refuses_connection_with_a_frame: bool
    ends_unary_streams: bool
    message_key: Literal["message", "_message"]
    events_for_new_maps: bool
    event_on_reset: bool
    stringifies_yaml: bool
    interpolates_access_control: bool
    refuses_classic_roots: bool  # a deployment that names the classic nucleus or token exchange itself
    persistent_session: bool
    spools: bool  # and takes subscriptions while offline, once it was connected
    drops_before_the_answer: bool  # messages of the cloud that come before the subscription is answered
    trailing_slash: bool
    stop_grace_s: float
    grace_for_each_process: bool  # of the component's tree, one after the other; else for all together
    children_outlive_their_main: bool  # when it ends by itself (by source, UnixExec.close; systemd ends them)
    installs_beside_the_old: bool  # an update: install, then stop the old; else stop it first
    restart_delay_s: float
    starts_per_hour: int
    consults_components: bool  # before it updates, and about their new configuration


CLASSIC = Dialect(
    name="classic",
    kind="classic",
    version="2.18.0",
    packet_bytes_after_prelude=16 * 1024 * 1024,
    value_bytes=_UNBOUNDED,
    answer_bytes=_UNBOUNDED,
    inbound_mqtt_bytes=128 * 1024,
    access_control_bytes=_UNBOUNDED,
    json_budget=None,
    answers_ping=True,
    refuses_connection_with_a_frame=True,
    ends_unary_streams=True,
    message_key="message",
    events_for_new_maps=True,
    event_on_reset=True,
    stringifies_yaml=False,
    interpolates_access_control=False,
    refuses_classic_roots=False,
    persistent_session=True,
    spools=True,
    drops_before_the_answer=True,
    trailing_slash=False,
    stop_grace_s=5,
    grace_for_each_process=True,
    children_outlive_their_main=True,
    installs_beside_the_old=False,
    restart_delay_s=0,
    starts_per_hour=3,
    consults_components=True,
)

LITE = Dialect(
    name="lite",
    kind="lite",
    version="2.6.0",
    packet_bytes_after_prelude=10_000,
    value_bytes=1_024,
    answer_bytes=10_012,  # measured: 8,951 and 9,963 pass, about 12,000 does not
    inbound_mqtt_bytes=5_000,
    access_control_bytes=4_096,
    json_budget=JsonBudget(
        element_cost=11,
        pair_cost=21,
        delivered=490,  # measured: a list of 42 and a map of 22 inside a map of one pass, 43 and 23 do not
        published=2_138,  # measured: 192 and 100 pass, 193 and 101 do not
        parsed=3_000,  # measured: 193 can be read, 300 cannot
        delivered_depth=12,
        published_depth=13,
    ),
    answers_ping=False,
    refuses_connection_with_a_frame=False,
    ends_unary_streams=False,
    message_key="_message",
    events_for_new_maps=False,
    event_on_reset=False,
    stringifies_yaml=True,
    interpolates_access_control=False,
    refuses_classic_roots=True,
    persistent_session=False,
    spools=False,
    drops_before_the_answer=False,
    trailing_slash=True,
    stop_grace_s=120,
    grace_for_each_process=False,
    children_outlive_their_main=False,
    installs_beside_the_old=True,
    restart_delay_s=1,
    starts_per_hour=3,
    consults_components=False,
)

LITE_MAIN = replace(LITE, name="lite-main", interpolates_access_control=True)

DIALECTS = {dialect.name: dialect for dialect in (CLASSIC, LITE, LITE_MAIN)}

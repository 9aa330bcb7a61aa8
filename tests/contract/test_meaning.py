"""What names, topics, times and specifications mean, whoever reads them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contract import topics
from contract.commands import CommandResult, CommandState, RebootCommand
from contract.desired import Application, DesiredDocument, Port
from contract.documents import document_key, parse_document_uri
from contract.names import Identifier, ThingName, identifier

IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/web@sha256:{'a' * 64}"


def a_document(*applications: Application) -> DesiredDocument:
    return DesiredDocument(
        target="thinggroup/line-3",
        revision=1,
        deployment_id="dep-01kanm5phz0123456789abcdef",
        applications=list(applications),
    )


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_identifiers_sort_by_time(earlier: int, later: int, random80: int) -> None:
    earlier, later = sorted((earlier, later))
    first = identifier("dep", unix_ms=earlier, random80=random80)
    second = identifier("dep", unix_ms=later, random80=random80)

    assert first <= second
    assert TypeAdapter(Identifier).validate_python(first) == first


@pytest.mark.parametrize("bad", ["", "a/b", "a+b", "a#2", "ü", "x" * 129, "a\n"])
def test_a_thing_name_that_could_break_a_topic_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ThingName).validate_python(bad)


def test_the_thing_is_found_in_every_topic_about_it() -> None:
    thing = "plant:robot_7"
    for topic in (
        topics.command_request(thing, "reboot"),
        topics.command_result(thing, "reboot"),
        topics.connection(thing),
        topics.report(thing),
        f"$aws/events/presence/connected/{thing}",
    ):
        assert topics.thing_of(topic) == thing
    assert topics.thing_of("somebody/elses/topic/here") is None


def test_naming_a_default_does_not_recreate_a_container() -> None:
    assert Application(name="web", image=IMAGE).digest() == (
        Application(name="web", image=IMAGE, restart="unless-stopped", ports=[], env={}).digest()
    )


def test_changing_any_meaning_recreates_the_container() -> None:
    base = Application(name="web", image=IMAGE)
    changes: list[dict[str, object]] = [
        {"env": {"A": "1"}},
        {"ports": [Port(container_port=80)]},
        {"command": ["/bin/x"]},
        {"memory_mib": 64},
        {"image": IMAGE.replace("a" * 64, "b" * 64)},
    ]
    digests = {base.model_copy(update=change).digest() for change in changes}
    assert len(digests | {base.digest()}) == len(changes) + 1


def test_a_document_is_named_by_its_bytes() -> None:
    document = a_document(Application(name="web", image=IMAGE))
    bucket, key, sha256 = parse_document_uri(f"s3://my-bucket/{document_key(document.canonical())}")

    assert (bucket, key) == ("my-bucket", f"desired/{sha256}.json")
    assert DesiredDocument.from_json(document.canonical()) == document


@pytest.mark.parametrize("uri", ["", "s3://b/desired/x.json", "https://b/desired/" + "a" * 64 + ".json"])
def test_a_reference_that_is_no_document_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="document_uri"):
        parse_document_uri(uri)


def test_two_applications_that_want_the_same_port_are_refused_by_path() -> None:
    port = [Port(container_port=8080, host_port=80)]
    with pytest.raises(
        ValidationError, match=r'applications\[1\].ports\[0\].host_port: 80 is used by "web" too'
    ):
        a_document(
            Application(name="web", image=IMAGE, ports=port), Application(name="api", image=IMAGE, ports=port)
        )


def test_a_host_port_published_twice_by_one_application_is_refused() -> None:
    ports = [Port(container_port=8080, host_port=80), Port(container_port=8081, host_port=80)]
    with pytest.raises(ValidationError, match="host_port: 80"):
        a_document(Application(name="web", image=IMAGE, ports=ports))


def test_a_name_used_twice_is_refused() -> None:
    web = Application(name="web", image=IMAGE)
    with pytest.raises(ValidationError, match='"web" is used twice'):
        a_document(web, web)


def test_an_image_by_tag_never_reaches_a_device() -> None:
    with pytest.raises(ValidationError):
        Application(name="web", image=IMAGE.split("@")[0] + ":latest")


def test_a_command_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        RebootCommand(
            id="cmd-01kanm5phz0123456789abcdef",
            issued_at=datetime(2026, 11, 22, 10),
            expires_at=datetime(2026, 11, 22, 11, tzinfo=UTC),
            requested_by="ada",
            reason="x",
        )


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"])
def test_a_time_that_utc_has_no_date_for_is_a_malformed_message_and_no_crash(at: str) -> None:
    payload = f'{{"id": "cmd-01kanm5phz0123456789abcdef", "state": "FAILED", "at": "{at}"}}'

    with pytest.raises(ValidationError, match="before the year 1"):
        CommandResult.from_json(payload)


def test_only_a_result_ends_a_command() -> None:
    assert {state for state in CommandState if not state.final} == {"PENDING", "DELIVERED", "IN_PROGRESS"}

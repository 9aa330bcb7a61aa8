"""What a desired document must not contradict itself in; each refusal names its path."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.applications import Application
from contract.desired import DesiredDocument
from contract.wire import complaint

IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleetgrass/web@sha256:{'a' * 64}"
DB = {"name": "db", "image": IMAGE}


def refusal(*applications: dict[str, Any], **document: Any) -> str:
    """Return why the document is refused."""
    with pytest.raises(ValidationError) as raised:
        a_document(*applications, **document)
    return complaint(raised.value)


def a_document(*applications: dict[str, Any], **document: Any) -> DesiredDocument:
    return DesiredDocument.model_validate(
        {
            "target": "thinggroup/line-3",
            "revision": 1,
            "deployment_id": "dep-01kanm5phz0123456789abcdef",
            "applications": [{"name": f"app-{i}", "image": IMAGE} | a for i, a in enumerate(applications)],
        }
        | document
    )


def needs(name: str, *others: str) -> dict[str, Any]:
    return {"name": name, "depends_on": [{"application": other} for other in others]}


FILE_SECRET = {"name": "key", "source": "ssm:/fleetgrass/key", "as": "file"}


@pytest.mark.parametrize(
    ("applications", "reason"),
    [
        (
            [
                {"name": "web", "ports": [{"container_port": 1, "host_port": 80}]},
                {},
                {"ports": [{"container_port": 2, "host_port": 80}]},
            ],
            'applications[2].ports[0].host_port: 80 is used by "web" too',
        ),
        (
            [{"network_mode": "host", "ports": [{"container_port": 80}]}],
            "applications[0].ports: nothing is published with network_mode host",
        ),
        (
            [{"network_mode": "none", "health_check": {"kind": "tcp", "port": 1}}],
            "applications[0].health_check: tcp needs a network, and network_mode is none",
        ),
        (
            [{"update_strategy": "hand-over", "ports": [{"container_port": 1, "host_port": 80}]}],
            "applications[0].ports[0].host_port: 80 is fixed, and in a hand-over "
            "the old and the new one would both want it",
        ),
        (
            [{"update_strategy": "hand-over", "network_mode": "host"}],
            "applications[0].update_strategy: hand-over cannot have network_mode host: "
            "both would want its ports",
        ),
        (
            [{"cap_add": ["NET_RAW"], "cap_drop": ["ALL", "NET_RAW"]}],
            "applications[0].cap_drop: NET_RAW is in cap_add too",
        ),
        (
            [{"labels": {"io.fleetgrass.thing": "another"}}],
            "applications[0].labels: io.fleetgrass.thing begins with a reserved word",
        ),
        (
            [{"env": {"A": "1"}, "secrets": [{"name": "A", "source": "ssm:a"}]}],
            "applications[0].secrets[0].name: A is set twice",
        ),
        (
            [{"secrets": [FILE_SECRET, FILE_SECRET]}],
            "applications[0].secrets[1].name: key is set twice",
        ),
        (
            [{"secrets": [{"name": "a.b", "source": "ssm:a"}]}],
            'applications[0].secrets[0].name: "a.b" is not the name of an environment variable',
        ),
        (
            [{"volumes": [{"name": "a", "path": "/a"}, {"name": "a", "path": "/b"}]}],
            'applications[0].volumes[1].name: "a" is used twice',
        ),
        (
            [{"volumes": [{"name": "a", "path": "/a"}], "binds": [{"source": "/x", "path": "/a"}]}],
            "applications[0].binds[0].path: /a is taken by volumes[0].path",
        ),
        (
            [{"secrets": [FILE_SECRET], "binds": [{"source": "/x", "path": "/run/secrets"}]}],
            "applications[0].binds[0].path: /run/secrets is taken by the secrets",
        ),
        (
            [{"update_lock": True, "volumes": [{"name": "a", "path": "/run/fleetgrass"}]}],
            "applications[0].volumes[0].path: /run/fleetgrass is taken by the update lock",
        ),
        (
            [{"devices": [{"source": "/dev/a"}, {"source": "/dev/b", "path": "/dev/a"}]}],
            "applications[0].devices[1]: /dev/a is used twice",
        ),
        (
            [needs("web", "ghost")],
            'applications[0].depends_on[0].application: there is no "ghost" in this deployment',
        ),
        ([DB, needs("web", "db", "db")], 'applications[1].depends_on[1].application: "db" is named twice'),
        ([needs("web", "web")], "applications[0].depends_on: web → web wait for each other"),
        (
            [DB, needs("a", "db", "b"), needs("b", "c"), needs("c", "db", "a")],
            "applications[1].depends_on: a → b → c → a wait for each other",
        ),
    ],
)
def test_a_contradiction_is_refused_by_its_path(applications: list[dict[str, Any]], reason: str) -> None:
    assert refusal(*applications) == reason


def test_every_contradiction_of_a_document_is_named() -> None:
    said = refusal({"network_mode": "host", "ports": [{"container_port": 1}]}, needs("web", "ghost"))

    assert said.count("applications[") == 2


@pytest.mark.parametrize(
    ("application", "path"),
    [
        ({"ports": [{"container_port": 0}]}, "applications[0].ports[0].container_port: "),
        ({"binds": [{"source": "etc", "path": "/etc"}]}, "applications[0].binds[0].source: "),
        ({"binds": [{"source": "/var/../etc", "path": "/etc"}]}, "applications[0].binds[0].source: "),
        ({"binds": [{"source": "/", "path": "/host"}]}, "applications[0].binds[0].source: "),
        ({"volumes": [{"name": "a", "path": "/a:ro"}]}, "applications[0].volumes[0].path: "),
        ({"secrets": [{"name": "A", "source": "file:/etc/shadow"}]}, "applications[0].secrets[0].source: "),
        ({"cap_add": ["net-raw"]}, "applications[0].cap_add[0]: "),
        ({"devices": [{"source": "/dev/a", "permissions": ""}]}, "applications[0].devices[0].permissions: "),
        ({"user": "root; true"}, "applications[0].user: "),
        ({"restart": "always"}, "applications[0].restart: "),
        ({"entrypont": ["/bin/x"]}, "applications[0].entrypont: "),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(application: dict[str, Any], path: str) -> None:
    assert refusal(application).startswith(path)


def test_a_refusal_never_shows_the_value() -> None:
    assert "hunter2" not in refusal({"env": {"1PASSWORD": "hunter2"}})
    assert "hunter2" not in refusal({"env": "hunter2"})


def test_a_window_that_never_opens_is_refused_by_its_path() -> None:
    assert refusal(windows=[{"cron": "61 * * * *", "duration_min": 5}]) == (
        'windows[0].cron: minute: "61" is not between 0 and 59'
    )


@given(st.lists(st.lists(st.integers(0, 7), unique=True, max_size=4), min_size=8, max_size=8))
def test_dependencies_are_refused_exactly_when_no_start_order_exists(edges: list[list[int]]) -> None:
    applications = [needs(f"app-{i}", *(f"app-{j}" for j in row)) for i, row in enumerate(edges)]
    started: set[int] = set()
    while ready := {i for i, row in enumerate(edges) if i not in started and set(row) <= started}:
        started |= ready

    if len(started) == len(edges):
        a_document(*applications)
    else:
        assert "wait for each other" in refusal(*applications)


def test_an_update_strategy_does_not_recreate_a_container_and_still_is_a_change() -> None:
    plain = Application(name="web", image=IMAGE)
    careful = Application(name="web", image=IMAGE, update_strategy="hand-over")

    assert careful.digest() == plain.digest()
    assert careful.wish_digest() != plain.wish_digest()

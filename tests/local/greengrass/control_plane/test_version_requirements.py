"""Version requirements as Greengrass writes them."""

import random

import pytest

from local.greengrass.control_plane.versions import Version, satisfies


@pytest.mark.parametrize(
    ("requirement", "yes", "no"),
    [
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.3-rc.1"]),
        ("==1.2.3", ["1.2.3"], ["1.2.2"]),
        ("=1.2.3", ["1.2.3", "1.2.3+build"], ["1.2.2"]),
        (">=2.0.3 <3.0.0", ["2.0.3", "2.99.0"], ["2.0.2", "3.0.0"]),
        (">= 2.0.3", ["2.0.3"], ["2.0.2"]),
        (">1.2", ["1.3.0"], ["1.2.9"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("^2.1.0", ["2.1.0", "2.9.9"], ["2.0.9", "3.0.0", "3.0.0-rc.1"]),
        ("^0.2.1", ["0.2.9"], ["0.3.0", "0.2.0"]),
        ("~2.1.4", ["2.1.4", "2.1.9"], ["2.2.0"]),
        ("~2", ["2.9.0"], ["3.0.0"]),
        ("2.x", ["2.0.0", "2.7.1"], ["3.0.0"]),
        ("*", ["0.0.1", "99.0.0"], []),
        ("1.0.0 || >=3.0.0", ["1.0.0", "4.0.0"], ["2.0.0"]),
    ],
)
def test_a_requirement_accepts_what_it_says(requirement: str, yes: list[str], no: list[str]) -> None:
    assert [v for v in yes if not satisfies(v, requirement)] == []
    assert [v for v in no if satisfies(v, requirement)] == []


def test_versions_are_ordered_as_semver_says() -> None:
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0",
        "1.0.1",
    ]

    assert sorted(random.Random(1).sample(ordered, len(ordered)), key=Version.parse) == ordered


@pytest.mark.parametrize("text", ["", "1", "1.2", "v1.2.3", "1.2.3.4", "NEXT_PATCH"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a semantic version"):
        Version.parse(text)

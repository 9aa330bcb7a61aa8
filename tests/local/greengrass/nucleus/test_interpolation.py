import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.greengrass.nucleus.configuration.interpolation import Interpolated, interpolate, pointer
from local.greengrass.nucleus.dialect import CLASSIC, LITE

KNOWN = {"work:path": "/w", "iot:thingName": "robot-1"}


def test_known_variables_are_replaced_in_both_dialects() -> None:
    for dialect in (CLASSIC, LITE):
        assert interpolate("cd {work:path}/x {iot:thingName}", KNOWN.get, dialect).text == "cd /w/x robot-1"


@pytest.mark.parametrize("text", ["{nope:x}", "${HOME}", "awk '{print $1}'", "{a,b}", "{"])
def test_classic_leaves_what_is_no_variable_alone(text: str) -> None:
    assert interpolate(text, KNOWN.get, CLASSIC) == Interpolated(text)


@pytest.mark.parametrize("rest", ["{nope:x} after", "${HOME} after", "{print $1}", "{never closed"])
def test_lite_runs_only_what_stands_before_a_brace_it_cannot_resolve(rest: str) -> None:
    done = interpolate("echo {work:path}; " + rest, KNOWN.get, LITE)

    assert done.text == "echo /w; " + rest.partition("{")[0]
    assert done.failed_at is not None


@given(st.text(alphabet=st.characters(exclude_characters="{")))
def test_a_text_without_braces_stays_as_it_is(text: str) -> None:
    assert interpolate(text, KNOWN.get, LITE).text == text
    assert interpolate(text, KNOWN.get, CLASSIC).text == text


def test_a_json_pointer_names_keys_with_slashes_too() -> None:
    assert pointer("/a/b~1c/~0d") == ["a", "b/c", "~d"]
    assert pointer("") == []

"""Where token exchange answers, by the configuration that each nucleus keeps of it."""

import json
import sys
from collections.abc import Mapping

import pytest

from edge.aws.process import AwsProcess, AwsUnavailable
from edge.aws.token_exchange import VARIABLE, address_in

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "configuration",
    [
        {"port": "40123"},
        {"port": 0, "activePort": 40123},
        {"port": 40123},
        {"port": 80, "activePort": "40123"},
    ],
    ids=["lite", "classic", "an older classic with a port configured", "classic, while its port changes"],
)
def test_the_address_is_made_of_the_port_that_is_open(configuration: Mapping[str, object]) -> None:
    assert address_in(configuration) == "http://localhost:40123/2016-11-01/credentialprovider/"


@pytest.mark.parametrize("port", [None, "", 0, "0", -1, 65_536, "no", "4²", [], True])
def test_what_is_no_port_is_no_address(port: object) -> None:
    assert address_in({"port": port}) is None
    assert address_in({}) is None


def test_each_question_goes_to_where_token_exchange_is_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Token exchange has another port after each start of it, and a SOFT dependant lives on through that."""
    monkeypatch.setenv(VARIABLE, "http://localhost:1/")
    said = iter(["http://localhost:2/", None, "http://localhost:3/"])
    answer = json.dumps({"kind": "failure", "code": "no-credentials", "message": "HERE"})
    script = f"import os; print({answer!r}.replace('HERE', os.environ[{VARIABLE!r}]))"
    process = AwsProcess((sys.executable, "-c", script), token_exchange=lambda: next(said))

    asked = []
    for _ in range(3):
        with pytest.raises(AwsUnavailable) as caught:
            process.registry_login(REGISTRY)
        asked.append(str(caught.value))

    assert asked == ["http://localhost:2/", "http://localhost:1/", "http://localhost:3/"]

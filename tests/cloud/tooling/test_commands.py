"""``python -m cloud``: what an administrator sees when something is wrong."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cloud.__main__ import main
from tests.support.cloud.api import REGION


class NoStack(BaseHTTPRequestHandler):
    """CloudFormation, as it answers for a stack that does not exist."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = (
            b"<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>"
            b"<Message>Stack with id fleetgrass does not exist</Message></Error></ErrorResponse>"
        )
        self.send_response(400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with HTTPServer(("127.0.0.1", 0), NoStack) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


ENROLL = ["enroll", "--thing", "robot-7", "--group", "line-3", "--out"]


@pytest.mark.parametrize("command", [[], ["build"], ["deploy"], ["enroll"], ["upgrade-agent"]])
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])

    assert left.value.code == 0
    assert "usage: python -m cloud" in capsys.readouterr().out


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("command", [[*ENROLL, "out"], ["upgrade-agent", "--group", "line-3"]])
def test_a_missing_stack_is_one_line_and_exit_1(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 1

    assert capsys.readouterr().err == (
        'cloud: there is no stack "fleetgrass": run `python -m cloud deploy` first\n'
    )


def test_an_aws_that_cannot_be_reached_is_one_line_and_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    assert main([*ENROLL, str(tmp_path)]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "http://127.0.0.1:9" in line


def test_a_parameter_without_a_value_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["deploy", "--parameter", "Issuers"])

    assert left.value.code == 2
    assert '"Issuers" is not NAME=VALUE' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameter", "refusal"),
    [
        (
            'Issuers=[{"issuer": "https://id.test", "audience": "fleetgrass"}]',
            "cloud: Issuers[0].jwks_uri: missing",
        ),
        ('RoleNames={"Fleet.Boss": "x"}', "cloud: RoleNames.Fleet.Boss: there is no such role"),
    ],
)
def test_a_parameter_that_only_the_authorizer_would_read_is_refused_before_anything_is_built(
    parameter: str, refusal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--parameter", parameter, "--build-folder", str(tmp_path / "build")]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(refusal)
    assert not (tmp_path / "build").exists()

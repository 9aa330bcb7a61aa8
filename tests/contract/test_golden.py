"""Golden files: what has shipped is still read, and means the same. Files in golden/v1 are never edited."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from contract.commands import (
    CollectLogsCommand,
    CommandResult,
    RebootCommand,
    ReportNowCommand,
    RestartApplicationCommand,
    ResultAck,
    RetryApplicationCommand,
    RotateSecretsCommand,
    TimeAnswer,
    name_of,
    parse_command,
)
from contract.desired import Application, DesiredDocument
from contract.events import ConnectionEvent
from contract.reports import DeviceReport
from contract.wire import Lenient, Message

GOLDEN = Path(__file__).parent / "golden" / "v1"
MODELS: dict[str, type[Message]] = {
    "reboot-command": RebootCommand,
    "restart-application-command": RestartApplicationCommand,
    "retry-application-command": RetryApplicationCommand,
    "report-now-command": ReportNowCommand,
    "collect-logs-command": CollectLogsCommand,
    "rotate-secrets-command": RotateSecretsCommand,
    "reboot-command-later": RebootCommand,
    "collect-logs-command-bundle": CollectLogsCommand,
    "command-result-logs": CommandResult,
    "command-result-bundle": CommandResult,
    "time-answer": TimeAnswer,
    "result-ack": ResultAck,
    "command-result-succeeded": CommandResult,
    "command-result-rejected": CommandResult,
    "hello": ConnectionEvent,
    "hello-level": ConnectionEvent,
    "hello-nucleus": ConnectionEvent,
    "goodbye": ConnectionEvent,
    "desired-document": DesiredDocument,
    "desired-document-whole": DesiredDocument,
    "desired-document-empty": DesiredDocument,
    "report": DeviceReport,
    "report-nucleus": DeviceReport,
    "report-refused": DeviceReport,
    "report-rolled-back": DeviceReport,
    "report-pulling": DeviceReport,
    "report-usage": DeviceReport,
    "report-crash-loop": DeviceReport,
}


def test_every_golden_file_has_a_model_and_every_model_a_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_a_golden_message_is_read_and_written_back_without_loss(name: str) -> None:
    model, text = MODELS[name], (GOLDEN / f"{name}.json").read_bytes()

    message = model.from_json(text)

    assert model.from_json(message.to_json()) == message
    assert {key: value for key, value in message.to_dict().items() if value not in ([], False)}.keys() <= (
        model.model_fields.keys()
    )


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_field_is_refused_in_a_command_and_ignored_in_a_report(name: str) -> None:
    model, text = MODELS[name], (GOLDEN / f"{name}.json").read_text()
    stranger = text.replace("{", '{"from_the_future": 1, ', 1)

    if issubclass(model, Lenient):
        assert model.from_json(stranger) == model.from_json(text)
    else:
        with pytest.raises(ValidationError, match="from_the_future"):
            model.from_json(stranger)


@pytest.mark.parametrize(
    ("name", "digests"),
    [
        ("desired-document", {"web": "2acd89cd25e3e151", "worker": "b82c1109dff6ac2c"}),
        (
            "desired-document-whole",
            {"db": "f765c3b74f04955e", "reader": "30c743f7eaebb29f", "front": "b631ba36374fa6f1"},
        ),
    ],
)
def test_the_golden_documents_keep_their_digests_for_ever(name: str, digests: dict[str, str]) -> None:
    document = DesiredDocument.from_json((GOLDEN / f"{name}.json").read_bytes())

    assert {application.name: application.digest()[:16] for application in document.applications} == digests


def test_the_whole_golden_document_says_everything_that_an_application_can_be_told() -> None:
    document = DesiredDocument.from_json((GOLDEN / "desired-document-whole.json").read_bytes())
    said = set().union(*(application.model_fields_set for application in document.applications))

    assert Application.model_fields.keys() - said == {"env", "stop_grace_s", "healthy_window_s"}
    assert document.model_fields_set == DesiredDocument.model_fields.keys()


@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("-command")])
def test_a_command_tells_its_kind_whatever_topic_it_came_on(name: str) -> None:
    command = parse_command((GOLDEN / f"{name}.json").read_bytes())

    assert type(command) is MODELS[name]
    assert name_of(command) == name.removesuffix("-command")
    assert parse_command(command.to_json()) == command

"""Everything that can be said about an application and its deployment reaches the device's document."""

import json
from pathlib import Path
from typing import Any

from contract.desired import DesiredDocument
from tests.support.cloud.api import body_of
from tests.support.cloud.deploying import WEB, DeploymentHarness, a_wish

GOLDEN = Path(__file__).parents[2] / "contract" / "golden" / "v1" / "desired-document-whole.json"


def test_the_whole_model_reaches_the_document_unchanged() -> None:
    harness = DeploymentHarness()
    golden: dict[str, Any] = json.loads(GOLDEN.read_text())
    applications = [{**each, "image": "fleetgrass/hello:v1"} for each in golden["applications"]]
    options = {key: golden[key] for key in ("atomic", "windows", "delete_volumes", "force")}

    answer = harness.post(a_wish(*applications, **options))

    assert answer["statusCode"] == 201, answer["body"]
    uri = harness.in_force()["desired"]["document_uri"]
    document = DesiredDocument.from_json(harness.documents.stored[uri])
    wanted = DesiredDocument.model_validate(golden)
    assert [a.model_copy(update={"image": ""}) for a in document.applications] == [
        a.model_copy(update={"image": ""}) for a in wanted.applications
    ]
    assert (document.atomic, document.windows) == (wanted.atomic, wanted.windows)
    assert (document.delete_volumes, document.force) == (True, True)


def test_a_contradiction_is_refused_by_its_path_before_anything_is_written() -> None:
    harness = DeploymentHarness()
    ports = [{"container_port": 8080, "host_port": 80}]

    answer = harness.post(a_wish(WEB, {**WEB, "name": "api", "update_strategy": "hand-over", "ports": ports}))

    assert answer["statusCode"] == 422
    assert body_of(answer)["code"] == "invalid-desired"
    assert body_of(answer)["detail"].startswith("applications[1].ports[0].host_port: 80 is fixed")
    assert harness.documents.stored == {}


def test_another_way_to_update_is_a_change_of_the_deployment() -> None:
    harness = DeploymentHarness()
    harness.post(a_wish(WEB))

    answer = harness.post(a_wish({**WEB, "update_strategy": "hand-over"}))

    assert [change["name"] for change in body_of(answer)["diff"]["changed"]] == ["web"]

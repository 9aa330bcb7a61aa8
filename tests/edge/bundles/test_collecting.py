"""What a bundle of logs holds, what it never holds, and how large it gets."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from contract.commands import CollectLogsCommand
from edge.bundles.collecting import FOLDER, BundleFailed, LogBundles
from edge.bundles.upload import UploadFailed
from edge.containers.model.observed import device_name
from edge.host.disk_space import DiskSpace
from edge.ports.engine_errors import EngineUnavailable
from tests.support.edge.containers import THING, Device, an_application, an_engine, current
from tests.support.edge.fake_engine import FakeEngine
from tests.support.edge.fakes import AgentHarness

URL = "https://bucket.example/bundle?X-Amz-Signature=5ec4e7"


class Uploads:
    """A storage that keeps what comes."""

    def __init__(self) -> None:
        self.content = b""
        self.error: Exception | None = None

    def __call__(self, path: Path, url: str) -> None:
        if self.error is not None:
            raise self.error
        assert url == URL
        self.content = path.read_bytes()

    def files(self) -> dict[str, str]:
        with tarfile.open(fileobj=io.BytesIO(self.content), mode="r:gz") as archive:
            found = {member.name: archive.extractfile(member) for member in archive}
            return {name: file.read().decode() for name, file in found.items() if file is not None}

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.files()["manifest.json"])
        return found


class Site:
    """A device with two applications that talk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.secrets = folder / "agent", folder / "secrets"
        self.engine: FakeEngine = an_engine()
        self.folder.mkdir()
        device = Device(self.engine, self.folder)
        device.deploy(an_application(env={"PASSWORD": "hunter22"}), an_application("other"))
        (self.folder / "agent.log").write_text("the agent says\n")
        self.uploads = Uploads()
        self.free_bytes = 100 << 30
        self.bundles = self.new()

    def new(self) -> LogBundles:
        return LogBundles(
            engine=self.engine,
            thing=THING,
            folder=self.folder,
            secrets_folder=self.secrets,
            disk=lambda _: DiskSpace(200 << 30, self.free_bytes),
            put=self.uploads,
        )

    def says(self, application: str, *lines: str) -> None:
        self.engine.named(current(application)).output.extend(lines)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def a_command(*, application: str | None = None, max_bytes: int = 100_000) -> CollectLogsCommand:
    return AgentHarness().an_errand(
        CollectLogsCommand, application=application, upload={"url": URL, "max_bytes": max_bytes}
    )


def test_a_bundle_holds_the_agents_log_what_the_engine_is_and_what_every_application_said(site: Site) -> None:
    site.says("web", "hello", "world")
    command = a_command()

    made = site.bundles.bundle(command)

    files, manifest = site.uploads.files(), site.uploads.manifest()
    assert files["agent.log"] == "the agent says\n"
    assert [line.split(" ", 1)[1] for line in files["applications/web.log"].splitlines()] == [
        "hello",
        "world",
    ]
    assert files["applications/other.log"] == ""
    assert manifest["engine"]["version"] == "99.0"
    assert manifest["engine"]["disk"]["free_bytes"] == site.free_bytes
    assert (manifest["thing"], manifest["command"], manifest["truncated"]) == (THING, command.id, False)
    assert {each["name"]: each["bytes"] for each in manifest["files"]} == {
        name: len(text) for name, text in files.items() if name != "manifest.json"
    }
    assert (made.bytes, made.truncated) == (len(site.uploads.content), False)
    assert made.sha256 == hashlib.sha256(site.uploads.content).hexdigest()


def test_of_one_application_there_is_only_its_log(site: Site) -> None:
    site.bundles.bundle(a_command(application="other"))

    assert set(site.uploads.files()) == {"agent.log", "applications/other.log", "manifest.json"}


def test_no_bundle_of_an_application_that_is_not_here(site: Site) -> None:
    with pytest.raises(BundleFailed) as caught:
        site.bundles.bundle(a_command(application="ghost"))

    assert caught.value.code == "application-unknown"


def test_neither_variables_nor_secret_files_are_in_it_line_by_line(site: Site) -> None:
    place = site.secrets / device_name(THING) / "spec"
    place.mkdir(parents=True)
    (place / "key.pem").write_text("-----BEGIN KEY-----\nMIIEvQ+abc/def=\n-----END KEY-----\n")
    (site.folder / "agent.log").write_text("somebody logged MIIEvQ+abc/def= here\n")
    site.says("web", "my password is hunter22", "key: MIIEvQ+abc/def=")

    site.bundles.bundle(a_command())

    everything = "".join(site.uploads.files().values())
    assert "hunter22" not in everything
    assert "MIIEvQ" not in everything
    assert everything.count("[redacted]") == 3


def test_it_stays_within_its_bound_and_loses_its_oldest_lines_first(site: Site) -> None:
    noise = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(20_000)]  # compresses badly
    site.says("web", *noise)
    site.says("other", "a few words")

    made = site.bundles.bundle(a_command(max_bytes=60_000))

    kept = [line.split(" ", 1)[1] for line in site.uploads.files()["applications/web.log"].splitlines()]
    assert 20_000 < made.bytes <= 60_000
    assert made.truncated
    assert kept
    assert kept == noise[-len(kept) :]
    assert "a few words" in site.uploads.files()["applications/other.log"]
    listed = {each["name"]: each["truncated"] for each in site.uploads.manifest()["files"]}
    assert listed == {"agent.log": False, "applications/web.log": True, "applications/other.log": False}


def test_a_bound_that_nothing_fits_in_is_said(site: Site) -> None:
    with pytest.raises(BundleFailed) as caught:
        site.bundles.bundle(a_command(max_bytes=50))

    assert caught.value.code == "bundle-too-large"


def test_without_an_engine_there_is_still_the_agents_own_log(site: Site) -> None:
    site.engine.available = False

    site.bundles.bundle(a_command())

    assert set(site.uploads.files()) == {"agent.log", "manifest.json"}
    assert site.uploads.manifest()["engine"] == {"code": "engine-unavailable"}


def test_one_log_that_cannot_be_read_costs_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.says("web", "hello")
    broken = site.engine.named(current("other")).id
    whole = site.engine.output

    def output(container_id: str, secrets: Any) -> Any:
        if container_id == broken:
            raise EngineUnavailable("its log driver keeps nothing")
        return whole(container_id, secrets)

    monkeypatch.setattr(site.engine, "output", output)

    site.bundles.bundle(a_command())

    codes = {each["name"]: each["code"] for each in site.uploads.manifest()["files"]}
    assert codes["applications/other.log"] == "engine-unavailable"
    assert "hello" in site.uploads.files()["applications/web.log"]


def test_a_failed_upload_says_how_and_nothing_stays_behind(site: Site) -> None:
    site.uploads.error = UploadFailed("HTTP 403", may_pass=False)

    with pytest.raises(BundleFailed) as caught:
        site.bundles.bundle(a_command())

    assert (caught.value.code, str(caught.value)) == ("upload-failed", "HTTP 403")
    assert list((site.folder / FOLDER).iterdir()) == []


def test_what_a_kill_left_behind_goes_at_the_next_start(site: Site) -> None:
    (site.folder / FOLDER / "tmp1").mkdir(parents=True)
    (site.folder / FOLDER / "tmp1" / "0").write_bytes(b"half")

    site.new()

    assert not (site.folder / FOLDER).exists()


def test_no_bundle_is_begun_where_it_could_fill_the_disk(site: Site) -> None:
    site.free_bytes = 1_000

    with pytest.raises(BundleFailed) as caught:
        site.bundles.bundle(a_command())

    assert caught.value.code == "no-room"

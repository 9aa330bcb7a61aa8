"""One PUT to a URL that is a secret: as it is, bounded, and silent about where it went."""

from pathlib import Path

import pytest

from edge.bundles.upload import TRIES, UploadFailed, upload
from tests.edge.bundles.storage import Storage

SIGNATURE = "5ec4e7"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(b"\x1f\x8b" + bytes(300_000))
    return path


def test_the_file_arrives_byte_for_byte_with_no_header_that_a_signature_would_have_to_cover(
    storage: Storage, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))

    upload(file, storage.url)

    [(path, headers, body)] = storage.taken
    assert (path, body) == ("/bundle?X-Amz-Signature=5ec4e7", file.read_bytes())
    assert not {"content-type", "authorization", "transfer-encoding"} & headers.keys()


@pytest.mark.parametrize("status", [400, 403, 404, 307])
def test_a_refusal_is_final_and_told_by_its_status(storage: Storage, file: Path, status: int) -> None:
    storage.answers = [status]

    with pytest.raises(UploadFailed, match=f"^HTTP {status}$"):
        upload(file, storage.url)

    assert len(storage.taken) == 1


def test_a_storage_that_is_in_trouble_is_asked_again_after_a_while(storage: Storage, file: Path) -> None:
    storage.answers = [503, 429]
    waits: list[float] = []

    upload(file, storage.url, sleep=waits.append)

    assert [body for _, _, body in storage.taken] == [file.read_bytes()] * 3
    assert waits == [2.0, 4.0]


def test_and_not_for_ever(storage: Storage, file: Path) -> None:
    storage.answers = [500] * 10

    with pytest.raises(UploadFailed, match=r"^HTTP 500$"):
        upload(file, storage.url, sleep=lambda _: None)

    assert len(storage.taken) == TRIES


def test_nobody_there_is_told_without_the_url(
    storage: Storage, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edge")
    storage.stop()

    with pytest.raises(UploadFailed, match=r"^ConnectionError$") as caught:
        upload(file, storage.url, sleep=lambda _: None)

    assert SIGNATURE not in repr(caught.value) + caplog.text
    assert caught.value.__cause__ is None
    assert caplog.text.count("not uploaded yet") == TRIES - 1


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "http://a:b:c/?s=5ec4e7", "https://127.0.0.1:0/5ec4e7"]
)
def test_what_is_no_usable_url_is_a_failure_and_not_shown(file: Path, url: str) -> None:
    with pytest.raises(UploadFailed) as caught:
        upload(file, url, sleep=lambda _: None)

    assert SIGNATURE not in str(caught.value)

import gzip
import hashlib
import io
import json
import tarfile

from local.docker.images import PAGE_LABEL, UNHEALTHY_LABEL, hello, samples

BUSYBOX = b"\x7fELF a static program"


def test_the_same_busybox_gives_the_same_digest_every_time() -> None:
    first, second = (hello(BUSYBOX, "amd64", page="hello") for _ in range(2))

    assert first.digest == second.digest


def test_page_health_architecture_and_busybox_each_change_the_digest() -> None:
    digests = {
        hello(BUSYBOX, "amd64", page="hello").digest,
        hello(BUSYBOX, "arm64", page="hello").digest,
        hello(BUSYBOX, "amd64", page="other").digest,
        hello(BUSYBOX, "amd64", page="hello", healthy=False).digest,
        hello(BUSYBOX + b"!", "amd64", page="hello").digest,
    }

    assert len(digests) == 5


def test_the_manifest_names_its_blobs_by_their_digests_and_sizes() -> None:
    image = hello(BUSYBOX, "amd64", page="hello")
    manifest = json.loads(image.manifest)

    named = [manifest["config"], *manifest["layers"]]
    assert [(d["digest"], d["size"]) for d in named] == [
        (f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob)) for blob in image.blobs
    ]


def test_the_layer_holds_busybox_and_the_page_and_the_config_its_uncompressed_digest() -> None:
    config, compressed = hello(BUSYBOX, "amd64", page="hello").blobs
    layer = gzip.decompress(compressed)

    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        contents = {name: tar.extractfile(name) for name in ("bin/busybox", "www/index.html", "www/health")}
        assert {name: file.read() for name, file in contents.items() if file} == {
            "bin/busybox": BUSYBOX,
            "www/index.html": b"hello\n",
            "www/health": b"ok\n",
        }
        assert tar.getmember("bin/busybox").mode == 0o755
    assert json.loads(config)["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_the_failing_sample_has_no_health_page_and_says_so_in_its_labels() -> None:
    config, compressed = samples(BUSYBOX, "amd64")["failing"].blobs

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(compressed))) as tar:
        assert "www/health" not in tar.getnames()
    labels = json.loads(config)["config"]["Labels"]
    assert labels[UNHEALTHY_LABEL] == "true"
    assert "failing" in labels[PAGE_LABEL]

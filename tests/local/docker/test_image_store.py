import hashlib
from collections.abc import Iterator

import pytest
import requests

from local.docker.image_store import ImageStore
from local.docker.images import MANIFEST, Image, assemble

ANSWER_S = 10


@pytest.fixture
def image() -> Image:
    return assemble(b"a layer", {"Cmd": ["/bin/true"]}, "amd64")


@pytest.fixture
def store(image: Image) -> Iterator[ImageStore]:
    store = ImageStore([image])
    yield store
    store.stop()


def test_an_image_is_served_by_the_digests_of_its_manifest_and_blobs(store: ImageStore, image: Image) -> None:
    base = f"http://{store.address}/v2/any/name"

    manifest = requests.get(f"{base}/manifests/{image.digest}", timeout=ANSWER_S)

    assert manifest.content == image.manifest
    assert manifest.headers["Content-Type"] == MANIFEST
    assert manifest.headers["Docker-Content-Digest"] == image.digest
    for blob in image.blobs:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        assert requests.get(f"{base}/blobs/{digest}", timeout=ANSWER_S).content == blob


def test_what_is_not_there_is_404_as_a_registry_says_it(store: ImageStore) -> None:
    answer = requests.get(f"http://{store.address}/v2/any/manifests/sha256:{'0' * 64}", timeout=ANSWER_S)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
    assert requests.get(f"http://{store.address}/v2/", timeout=ANSWER_S).status_code == 200

"""A storage to upload to."""

from collections.abc import Iterator

import pytest

from tests.edge.bundles.storage import Storage


@pytest.fixture
def storage() -> Iterator[Storage]:
    found = Storage()
    yield found
    found.stop()

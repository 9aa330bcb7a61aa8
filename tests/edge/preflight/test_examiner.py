"""Which documents a device refuses before anything changes, and which it lets pass."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from contract.desired import Application, DesiredDocument
from contract.names import identifier
from edge.containers.model.image_gc import STANDARD_FLOOR, Pulled
from edge.containers.model.image_references import CredentialsUnavailable
from edge.containers.model.policy import Policy
from edge.host.disk_space import DiskSpace
from edge.ports.engine import Credentials
from edge.ports.engine_errors import RegistryUnreachable
from edge.preflight.examiner import Examiner
from edge.preflight.image_inspector import ImageInspector
from edge.preflight.verdict import FINE, Verdict
from tests.edge.preflight.builders import GOOD, REPOSITORY, STALE, MemoryRegistry
from tests.support.edge.fake_engine import FakeEngine, FakeImage

GIB = 1 << 30


@dataclass
class Logins:
    """Registry logins; the first one may be stale, or none may be had."""

    kept: Credentials = GOOD
    fresh: Credentials = GOOD
    error: CredentialsUnavailable | None = None

    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        if self.error is not None:
            raise self.error
        return self.fresh if fresh else self.kept


@dataclass
class Device:
    """An amd64 device with an empty engine and 20 GiB of 40 free, of which 2 are to stay free."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    logins: Logins = field(default_factory=Logins)
    disk: DiskSpace | None = field(default_factory=lambda: DiskSpace(40 * GIB, 20 * GIB))
    pulled: list[Pulled] = field(default_factory=list)

    def verdict(self, *images: str, policy: object = None, mirrors: Any = None, **fields: Any) -> Verdict:
        """Judge a document with these images (app-0, app-1, …), every application with ``fields``."""
        document = DesiredDocument(
            target="thinggroup/line-3",
            revision=1,
            deployment_id=identifier("dep", unix_ms=1, random80=1),
            applications=[
                Application(name=f"app-{n}", image=image, **fields) for n, image in enumerate(images)
            ],
        )
        examiner = Examiner(
            images=ImageInspector(self.engine, self.logins, self.registry),
            mirrors=mirrors or {},
            floor=STANDARD_FLOOR,
            disk=lambda: self.disk,
            pulled=lambda: self.pulled,
            real=lambda path: path,
        )
        return examiner.verdict(document, Policy.model_validate(policy or {}))

    def judge(self, *images: str, **fields: Any) -> str | None:
        """Return the refusal in one text."""
        refusal = self.verdict(*images, **fields).refusal
        return None if refusal is None else f"{refusal.code}: {refusal.message}"


def test_an_image_for_this_machine_that_fits_on_the_disk_passes() -> None:
    device = Device()

    assert device.judge(device.registry.add("amd64", 1_000, 2_000)) is None


def test_an_image_for_another_machine_is_refused_by_the_name_of_its_application() -> None:
    device = Device()

    refusal = device.judge(device.registry.add("amd64"), device.registry.add("arm64", 5))

    assert refusal == "wrong-architecture: app-1: the image is for arm64, this device is amd64"


def test_an_image_for_many_machines_counts_by_the_one_for_this_machine() -> None:
    device = Device()
    ours, other = device.registry.add("amd64", 900), device.registry.add("arm64", 5_000)

    assert device.judge(device.registry.add_index(arm64=other, amd64=ours)) is None
    refusal = device.judge(device.registry.add_index(arm64=other, s390x=other))

    assert refusal == "wrong-architecture: app-0: the image is for arm64, s390x, this device is amd64"


def test_what_a_machine_runs_besides_its_own_kind_passes() -> None:
    device = Device()

    assert device.judge(device.registry.add("386")) is None


def test_images_that_do_not_fit_are_refused_and_a_shared_layer_is_counted_once() -> None:
    device = Device()
    one = device.registry.add("amd64", 10 * GIB, 5 * GIB)
    two = device.registry.add("amd64", 10 * GIB, 4 * GIB)
    assert device.judge(one, two) is None

    device.disk = DiskSpace(40 * GIB, 19 * GIB)

    assert (
        device.judge(one, two) == "disk-full: 19456 MiB to fetch, 19456 MiB free, 2048 MiB are to stay free"
    )


def test_below_the_floor_nothing_more_can_be_fetched() -> None:
    device = Device(disk=DiskSpace(40 * GIB, GIB))

    assert device.judge(device.registry.add("amd64", 1)) is not None


def test_a_disk_that_may_have_room_after_something_goes_is_not_refused() -> None:
    device = Device(disk=DiskSpace(40 * GIB, GIB))
    image = device.registry.add("amd64", 20 * GIB)

    assert device.judge(image, update_strategy="kill-then-download") is None
    device.pulled = [Pulled("127.0.0.1:5000/old@sha256:1", f"{REPOSITORY}@sha256:1")]

    assert device.judge(image) is None


def test_what_the_devices_policy_forbids_is_refused_by_its_rule() -> None:
    device = Device()
    image = device.registry.add()

    refusal = device.judge(image, privileged=True)

    assert refusal == "policy-refused: app-0: policy.privileged does not allow privileged"
    assert device.judge(image, privileged=True, policy={"privileged": True}) is None


def test_an_image_that_is_here_needs_neither_registry_nor_room() -> None:
    device = Device()
    image = device.registry.add("amd64", 1 << 40)
    device.engine.images[image] = FakeImage()

    assert device.judge(image) is None
    assert device.registry.asked == []


def test_an_image_that_the_registry_does_not_have_is_refused() -> None:
    refusal = Device().judge(f"{REPOSITORY}@sha256:{'0' * 64}")

    assert refusal is not None
    assert refusal.startswith("image-not-found: app-0: ")


def test_a_login_that_is_refused_is_replaced_once() -> None:
    device = Device(logins=Logins(kept=STALE))

    assert device.judge(device.registry.add()) is None


def test_a_registry_that_says_no_to_a_fresh_login_too_refuses() -> None:
    device = Device(logins=Logins(kept=STALE, fresh=STALE))

    assert device.judge(device.registry.add()) == "registry-denied: app-0: answers 401"


def test_a_device_that_may_have_no_login_at_all_refuses() -> None:
    error = CredentialsUnavailable("access-denied", "GetAuthorizationToken: AccessDenied")

    refusal = Device(logins=Logins(error=error)).judge(f"{REPOSITORY}@sha256:{'0' * 64}")

    assert refusal == "access-denied: app-0: GetAuthorizationToken: AccessDenied"


def slow_registry(device: Device) -> None:
    device.registry.error = RegistryUnreachable("timed out")


def no_engine(device: Device) -> None:
    device.engine.available = False


def no_login_now(device: Device) -> None:
    device.logins.error = CredentialsUnavailable("timeout")


def strange_manifest(device: Device) -> None:
    device.registry.content = dict.fromkeys(device.registry.content, b"<html>")


def unknown_disk(device: Device) -> None:
    device.disk = None


@pytest.mark.parametrize("trouble", [slow_registry, no_engine, no_login_now, strange_manifest, unknown_disk])
def test_what_cannot_be_found_out_now_is_not_refused(trouble: Any) -> None:
    device = Device()
    image = device.registry.add("amd64", 1 << 40 if trouble is unknown_disk else 1)
    trouble(device)

    assert device.judge(image) is None


def test_what_could_not_be_looked_into_is_told_apart_from_what_is_fine() -> None:
    device = Device()
    image = device.registry.add()
    assert device.verdict(image) == FINE

    for trouble in (slow_registry, no_login_now, strange_manifest, no_engine):
        trouble(device)
        assert device.verdict(image) == Verdict(unknown=frozenset({image}))


def test_a_registry_that_is_silent_is_waited_for_once_and_what_is_here_needs_it_not() -> None:
    device = Device()
    here, one, two = (device.registry.add("amd64", size) for size in (1, 2, 3))
    device.engine.images[here] = FakeImage()
    slow_registry(device)

    assert device.verdict(one, two, here) == Verdict(unknown=frozenset({one, two}))
    assert device.registry.asked == [one]


def test_a_refusal_says_what_it_rests_on_and_whether_time_may_change_it() -> None:
    device = Device()
    fine, foreign = device.registry.add("amd64", 1), device.registry.add("arm64")
    missing = f"{REPOSITORY}@sha256:{'0' * 64}"

    both = device.verdict(missing, foreign, fine).refusal
    later = device.verdict(missing, fine).refusal
    rule = device.verdict(fine, privileged=True).refusal
    device.disk = DiskSpace(40 * GIB, GIB)
    full = device.verdict(fine).refusal

    assert both is not None
    assert (both.code, both.lasting, both.images) == (
        "wrong-architecture",
        True,
        frozenset({missing, foreign}),
    )
    assert both.message.startswith("app-1: the image is for arm64")
    assert "; image-not-found: app-0: " in both.message
    assert later is not None
    assert (later.code, later.lasting, later.images) == ("image-not-found", False, frozenset({missing}))
    assert rule is not None
    assert (rule.lasting, rule.images) == (True, frozenset())
    assert full is not None
    assert (full.code, full.lasting, full.images) == ("disk-full", False, frozenset({fine}))


def test_a_mirror_is_asked_instead_of_the_registry_it_stands_for() -> None:
    device = Device()
    image = device.registry.add("arm64")

    device.judge(image, mirrors={image.partition("/")[0]: "127.0.0.1:5000"})

    assert device.registry.asked[0] == f"127.0.0.1:5000/{image.partition('/')[2]}"

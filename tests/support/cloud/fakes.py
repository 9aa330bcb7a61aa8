"""The ports of ``cloud.ports`` in memory, each as its adapter behaves; ``broken`` is raised instead."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from cloud.aws.errors import Conflict, NotFound
from cloud.domain.deployments.greengrass import Submitted, TargetDeployment
from cloud.domain.deployments.greengrass_components import Components
from cloud.domain.devices.diagnosis_facts import Job
from cloud.ports.groups import Group, GroupPage
from cloud.ports.images import Image
from contract.documents import document_key
from contract.names import Nucleus


class FakeGroups:
    """The IoT registry: groups, and who is in which. Where ``names`` are not given, every group is there."""

    def __init__(self, names: Iterable[str] | None = None) -> None:
        self.names = None if names is None else set(names)
        self.gone: set[str] = set()
        self.made: dict[str, tuple[str | None, str]] = {}
        self.nuclei: dict[str, Nucleus] = {}
        self.things: dict[str, set[str]] = {}
        self.most = 0  # groups that a thing was ever in at once
        self.asked: list[str] = []
        self.broken: Exception | None = None

    def groups(self, *, cursor: str | None, limit: int, prefix: str | None = None) -> GroupPage:
        found = [n for n in sorted(self.names or ()) if n.startswith(prefix or "") and n > (cursor or "")]
        return GroupPage(tuple(found[:limit]), found[limit - 1] if len(found) > limit else None)

    def group(self, group: str) -> Group:
        return Group(self.nucleus_of(group), any(group in groups for groups in self.things.values()))

    def groups_of(self, thing: str) -> frozenset[str]:
        return frozenset(self.things.get(thing, ()))

    def create_group(
        self, group: str, description: str | None, *, made_by: str, nucleus: Nucleus | None = None
    ) -> None:
        if self.made.setdefault(group, (description, made_by)) != (description, made_by):
            raise Conflict(group)
        if self.names is not None:
            self.names.add(group)
        if nucleus is not None:
            self.nuclei[group] = nucleus

    def nucleus_of(self, group: str) -> Nucleus | None:
        self._ask(group)
        return self.nuclei.get(group)

    def fix_nucleus(self, group: str, nucleus: Nucleus) -> Nucleus:
        self._ask(group)
        return self.nuclei.setdefault(group, nucleus)

    def add(self, thing: str, group: str) -> None:
        self._ask(group)
        self.things.setdefault(thing, set()).add(group)
        self.most = max(self.most, len(self.things[thing]))

    def remove(self, thing: str, group: str) -> None:
        self.things.setdefault(thing, set()).discard(group)

    def _ask(self, group: str) -> None:
        self.asked.append(group)
        if self.broken is not None:
            raise self.broken
        if group in self.gone or (self.names is not None and group not in self.names):
            raise NotFound(group)


class FakeGreengrass:
    """Deployments per target, oldest first; the same client token gives the same deployment.

    With other content a known token is a Conflict, as Greengrass has it.
    """

    def __init__(self) -> None:
        self.deployments: dict[str, list[tuple[str, Components]]] = defaultdict(list)
        self.by_token: dict[str, tuple[Submitted, tuple[object, ...]]] = {}
        self.broken: Exception | None = None
        self.jobs: dict[tuple[str, str], Job] = {}
        self.asked: list[str] = []
        self.published: dict[str, list[str]] = {}  # a component's versions by its ARN, the newest first

    def latest(self, target_arn: str) -> TargetDeployment | None:
        all_of_it = self.deployments[target_arn]
        if not all_of_it:
            return None
        greengrass_id, components = all_of_it[-1]
        return TargetDeployment(greengrass_id, f"job-{greengrass_id}", components)

    def components(self, greengrass_id: str) -> Components | None:
        every = dict(each for of_target in self.deployments.values() for each in of_target)
        return every.get(greengrass_id)

    def newest(self, component_arn: str) -> str | None:
        return next(iter(self.published.get(component_arn, ())), None)

    def revise(self, target_arn: str, components: Components) -> str:
        """What somebody else does in the console."""
        greengrass_id = f"gg-of-others-{len(self.deployments[target_arn])}"
        self.deployments[target_arn].append((greengrass_id, components))
        return greengrass_id

    def on_device(self, device: str, greengrass_id: str) -> Job | None:
        self.asked.append(device)
        return self.jobs.get((device, greengrass_id))

    def create(self, target_arn: str, *, name: str, components: Components, client_token: str) -> Submitted:
        if self.broken is not None:
            raise self.broken
        assert 1 <= len(client_token) <= 64
        content = (target_arn, name, components)
        if client_token not in self.by_token:
            greengrass_id = f"gg-{len(self.by_token) + 1}"
            self.deployments[target_arn].append((greengrass_id, components))
            self.by_token[client_token] = (Submitted(greengrass_id, f"job-{greengrass_id}"), content)
        made, of = self.by_token[client_token]
        if of != content:
            raise Conflict("the client token was used with other content")
        return made


class FakeImages:
    """Repositories by tag."""

    def __init__(self, tags: Mapping[tuple[str, str], str]) -> None:
        self.tags = dict(tags)
        self.architectures: frozenset[str] = frozenset()
        self.asked: list[str] = []
        self.broken: Exception | None = None

    def resolve(self, repository: str, *, tag: str | None = None, digest: str | None = None) -> Image:
        self.asked.append(repository)
        if self.broken is not None:
            raise self.broken
        found = digest or self.tags.get((repository, tag or ""))
        if found is None or found not in self.tags.values():
            raise NotFound(repository)
        return Image(found, self.architectures)


class FakeDocuments:
    """The bucket."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    def put(self, document: bytes) -> str:
        uri = f"s3://bucket/{document_key(document)}"
        self.stored[uri] = document
        return uri


class FakeBundles:
    """Signs nothing: every URL is another one, as with S3 whenever the clock has moved."""

    def __init__(self) -> None:
        self.signed: list[tuple[str, str, float]] = []

    def put_url(self, device: str, command: str, *, expires_in_s: float) -> str:
        self.signed.append((device, command, expires_in_s))
        return f"https://bucket.example/{device}/{command}?put={len(self.signed)}"

    def get_url(self, device: str, command: str, *, expires_in_s: float) -> str:
        return f"https://bucket.example/{device}/{command}?get={expires_in_s:g}"


class FakeBroker:
    """Keeps what was published and tells ``after``; ``broken`` is raised instead."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.broken: Exception | None = None
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[str, bytes], None] = lambda topic, payload: None

    def publish(self, topic: str, payload: bytes) -> None:
        self.before()
        if self.broken is not None:
            raise self.broken
        self.published.append((topic, payload))
        self.after(topic, payload)


class FakeQueue:
    """Keeps what was sent; ``broken`` is raised instead."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.broken: Exception | None = None

    def send(self, body: str) -> None:
        if self.broken is not None:
            raise self.broken
        self.bodies.append(body)

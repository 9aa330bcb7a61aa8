"""Registry logins, kept for their lifetime (ECR's last 12 hours), fetched through the AWS process."""

import logging
import threading
from collections.abc import Callable

from edge.aws.messages import RegistryLogin
from edge.aws.process import AwsUnavailable
from edge.containers.model.image_references import CredentialsUnavailable
from edge.ports.clock import Clock
from edge.ports.engine import Credentials

RENEW_BEFORE_S = 600.0  # a pull that begins with a login must be able to end with it
LIFE_AT_LEAST_S = 60.0  # with a device clock that is off, a login may look as if it had ended already
LIFE_AT_MOST_S = 12 * 3600.0

log = logging.getLogger(__name__)


class RegistryLogins:
    """``RegistryCredentials`` of ECR. One thread at a time fetches; the others wait for its end."""

    def __init__(self, fetch: Callable[[str], RegistryLogin], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Credentials, float, float]] = {}  # login, made at, good until
        self._failed: dict[str, tuple[AwsUnavailable, float]] = {}  # why the latest try failed, and when

    def get(self, registry_host: str, *, fresh: bool = False) -> Credentials:
        """Return the login for a registry; ``fresh`` after a refusal of the one that was given."""
        asked_s = self._clock.monotonic()
        with self._lock:
            now_s = self._clock.monotonic()
            if registry_host in self._kept:
                credentials, made_s, until_s = self._kept[registry_host]
                if now_s < until_s and (not fresh or made_s > asked_s):
                    return credentials
            if registry_host in self._failed:
                failure, failed_s = self._failed[registry_host]
                if failed_s > asked_s:
                    raise CredentialsUnavailable(failure.code, str(failure))
            try:
                login = self._fetch(registry_host)
            except AwsUnavailable as error:
                self._failed[registry_host] = (error, self._clock.monotonic())
                raise CredentialsUnavailable(error.code, str(error)) from error
            life_s = (login.expires_at - self._clock.now()).total_seconds() - RENEW_BEFORE_S
            now_s = self._clock.monotonic()
            credentials = Credentials(username=login.username, password=login.password)
            self._kept[registry_host] = (
                credentials,
                now_s,
                now_s + min(max(life_s, LIFE_AT_LEAST_S), LIFE_AT_MOST_S),
            )
            log.info("registry login renewed: registry=%s", registry_host)
            return credentials

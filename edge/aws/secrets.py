"""Secret values of applications, fetched through the AWS process."""

from collections.abc import Callable, Collection, Mapping

from contract.reports import NO_CREDENTIALS
from edge.aws.process import AwsUnavailable
from edge.containers.model.errors import SecretsUnavailable


class AwsSecrets:
    """``SecretSource`` of Secrets Manager and the Parameter Store; keeps nothing."""

    def __init__(self, fetch: Callable[[Collection[str]], Mapping[str, bytes]]) -> None:
        self._fetch = fetch

    def get(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Return every source's value; raises SecretsUnavailable."""
        try:
            return self._fetch(sources)
        except AwsUnavailable as error:
            # Without credentials it is the device that lacks something, and no secret.
            code = error.code if error.code == NO_CREDENTIALS else f"secret-{error.code}"
            raise SecretsUnavailable(code, str(error)) from None

"""Applications' secrets through the AWS process."""

from collections.abc import Callable, Collection, Mapping

from edge.aws.process import AwsUnavailable
from edge.containers.secrets import SecretsUnavailable


class AwsSecrets:
    """``SecretSource`` of Secrets Manager and the Parameter Store; keeps nothing."""

    def __init__(self, fetch: Callable[[Collection[str]], Mapping[str, bytes]]) -> None:
        self._fetch = fetch

    def get(self, sources: Collection[str]) -> Mapping[str, bytes]:
        """Return every source's value; raises SecretsUnavailable."""
        try:
            return self._fetch(sources)
        except AwsUnavailable as error:
            raise SecretsUnavailable(f"secret-{error.code}", str(error)) from None

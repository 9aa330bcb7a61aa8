"""Objects in S3: desired documents, written once and never changed; log bundles, kept for a week."""

from typing import Any

from cloud.aws.clients import translated
from contract.documents import document_key


class Documents:
    """The bucket's ``desired/`` folder."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put(self, document: bytes) -> str:
        """Store ``document`` under its hash and return its URI; storing it again changes nothing."""
        key = document_key(document)
        with translated():
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=document, ContentType="application/json")
        return f"s3://{self._bucket}/{key}"


class Bundles:
    """The bucket's ``bundles/`` folder: logs that devices put there, and operators fetch.

    Both go by a presigned URL, which is a secret while it lasts: keep it nowhere, log it never. It
    lasts no longer than the credentials it was signed with. ``s3`` is ``cloud.aws.clients.s3_signer``.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put_url(self, device: str, command: str, *, expires_in_s: float) -> str:
        """Return the URL at which one PUT without headers of its own stores the bundle. Makes no call."""
        return self._sign("put_object", device, command, min(expires_in_s, _SIGV4_MAX_S))

    def get_url(self, device: str, command: str, *, expires_in_s: float) -> str:
        """Return the URL at which the bundle of ``command`` can be fetched. Makes no call."""
        return self._sign("get_object", device, command, expires_in_s)

    def _sign(self, operation: str, device: str, command: str, expires_in_s: float) -> str:
        with translated():
            url: str = self._s3.generate_presigned_url(
                operation,
                Params={"Bucket": self._bucket, "Key": f"bundles/{device}/{command}.tar.gz"},
                ExpiresIn=round(expires_in_s),
            )
        return url


_SIGV4_MAX_S = 7 * 24 * 3600  # S3 user guide, "Sharing objects with presigned URLs"

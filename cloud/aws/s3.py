"""Desired documents in S3: content-addressed, written once, never changed."""

from typing import Any

from cloud.aws.clients import translated
from contract.desired import document_key


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

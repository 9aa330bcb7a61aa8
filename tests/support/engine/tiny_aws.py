"""A small AWS on loopback for the agent's AWS process: credentials, desired documents, a registry login."""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

from contract.desired import DesiredDocument
from contract.documents import document_key
from local.process.http_server import LoopbackServer
from tests.support.engine.tiny_registry import LOGIN

BUCKET = "desired-documents"


class TinyAws:
    """Serves from a thread until ``stop``."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.token = secrets.token_hex(8)  # of the token exchange service
        self._server = LoopbackServer(0, _Handler, self)
        self._server.start()

    @property
    def environment(self) -> Mapping[str, str]:
        """What a nucleus and its token exchange service give a component."""
        url = f"http://{self._server.address}"
        return {
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self.token,
        }

    def put(self, document: DesiredDocument) -> str:
        """Return the URI of a document, which is in the bucket now."""
        content = document.canonical()
        key = document_key(content)
        self.objects[f"/{BUCKET}/{key}"] = content
        return f"s3://{BUCKET}/{key}"

    def stop(self) -> None:
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackServer[TinyAws]

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        aws = self.server.service
        if self.path == "/credentials" and self.headers["Authorization"] == aws.token:
            until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            found = {"AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "Expiration": until}
            self._answer(200, json.dumps(found).encode())
        else:
            content = aws.objects.get(self.path)
            self._answer(404 if content is None else 200, content or b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = base64.b64encode(":".join(LOGIN).encode()).decode()
        data = {"authorizationToken": token, "expiresAt": time.time() + 12 * 3600}
        self._answer(200, json.dumps({"authorizationData": [data]}).encode())

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

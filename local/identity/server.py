"""The local OpenID Connect provider: discovery, JWKS and three grants over HTTP on loopback.

It stands in for AMMA and Entra ID. There are no passwords: whoever reaches loopback picks a user.
"""

import base64
import binascii
import html
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from local.identity.grants import (
    ANY_ROLE_CLIENT,
    CODE_LIFETIME_S,
    TOKEN_LIFETIME_S,
    USERS,
    GrantRefused,
    Grants,
    client_of,
)
from local.process.http_server import LoopbackServer

AUDIENCE = "api://fleetgrass"
_BODY_MAX = 16_384
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class IdentityProvider:
    """Serves from a thread until ``stop``; ``grants`` is usable in-process, under ``lock``."""

    def __init__(self, port: int = 0, *, now: Callable[[], float] = time.time) -> None:
        """Listen on 127.0.0.1; port 0 picks a free one. Raises OSError when the port is taken."""
        self._server = LoopbackServer(port, _Handler, self)
        self.issuer_url = f"http://{self._server.address}"
        self.lock = threading.Lock()
        self.grants = Grants(self.issuer_url, AUDIENCE, now)
        self._server.start()

    def token(self, role: str, /, **claims: Any) -> str:
        """Return a token of the client that has ``role``; ``claims`` replace what it would say."""
        with self.lock:
            return self.grants.issue(client_of(role), (role,), **claims)

    def secret(self, client_id: str = ANY_ROLE_CLIENT) -> str:
        """Return a client's secret, made when this provider started."""
        return self.grants.clients[client_id].secret

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackServer[IdentityProvider]

    @property
    def provider(self) -> IdentityProvider:
        return self.server.service

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: queries carry codes."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        match url.path:
            case "/.well-known/openid-configuration":
                self._json(200, self._discovery())
            case "/jwks":
                with self.provider.lock:
                    self._json(200, self.provider.grants.key_set())
            case "/authorize":
                self._authorize(url.query, query)
            case "/device":
                self._approve(url.query, query)
            case _:
                self._json(404, {"error": "not_found"})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _BODY_MAX:
            self.close_connection = True
            self._json(413, {"error": "invalid_request"})
            return
        form = dict(parse_qsl(self.rfile.read(length).decode("utf-8", "replace")))
        path = urlsplit(self.path).path
        try:
            if path == "/token":
                token = self._grant(form)
                answer = {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFETIME_S}
                self._json(200, answer)
            elif path == "/device_authorization":
                self._json(200, self._begin_device(form))
            else:
                self._json(404, {"error": "not_found"})
        except GrantRefused as refused:
            status = 401 if refused.code == "invalid_client" else 400
            self._json(status, {"error": refused.code, "error_description": str(refused)})

    def _discovery(self) -> dict[str, Any]:
        issuer = self.provider.issuer_url
        return {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/jwks",
            "token_endpoint": f"{issuer}/token",
            "authorization_endpoint": f"{issuer}/authorize",
            "device_authorization_endpoint": f"{issuer}/device_authorization",
            "grant_types_supported": ["client_credentials", "authorization_code", _DEVICE_GRANT],
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        }

    def _grant(self, form: Mapping[str, str]) -> str:
        client_id, secret = self._client(form)
        grants = self.provider.grants
        with self.provider.lock:
            match form.get("grant_type"):
                case "client_credentials":
                    return grants.client_credentials(client_id, secret, form.get("scope", ""))
                case "authorization_code":
                    verifier, redirect = form.get("code_verifier", ""), form.get("redirect_uri", "")
                    return grants.redeem_code(client_id, form.get("code", ""), verifier, redirect)
                case str(kind) if kind == _DEVICE_GRANT:
                    return grants.redeem_device(client_id, form.get("device_code", ""))
        raise GrantRefused("unsupported_grant_type", "client_credentials, authorization_code or device_code")

    def _client(self, form: Mapping[str, str]) -> tuple[str, str]:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return form.get("client_id", ""), form.get("client_secret", "")
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise GrantRefused("invalid_client", "the Authorization header cannot be read") from None
        return unquote(client_id), unquote(secret)

    def _begin_device(self, form: Mapping[str, str]) -> dict[str, Any]:
        with self.provider.lock:
            device_code, user_code = self.provider.grants.begin_device(form.get("client_id", ""))
        page = f"{self.provider.issuer_url}/device"
        return {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={user_code}",
            "expires_in": CODE_LIFETIME_S,
            "interval": 1,
        }

    def _authorize(self, raw_query: str, query: Mapping[str, str]) -> None:
        user = query.get("login_hint")
        if user is None:
            self._pick_user("/authorize", raw_query)
            return
        try:
            with self.provider.lock:
                code = self.provider.grants.authorize(
                    query.get("client_id", ""),
                    query.get("redirect_uri", ""),
                    query.get("code_challenge", ""),
                    query.get("code_challenge_method", ""),
                    user,
                )
        except GrantRefused as refused:
            self._page(400, f"<p>{html.escape(str(refused))}</p>")
            return
        back = urlencode({"code": code} | ({"state": query["state"]} if "state" in query else {}))
        self._send(302, "text/plain", b"", {"Location": f"{query['redirect_uri']}?{back}"})

    def _approve(self, raw_query: str, query: Mapping[str, str]) -> None:
        if "login_hint" not in query:
            self._pick_user("/device", raw_query)
            return
        try:
            with self.provider.lock:
                self.provider.grants.approve_device(query.get("user_code", ""), query["login_hint"])
        except GrantRefused as refused:
            self._page(400, f"<p>{html.escape(str(refused))}</p>")
            return
        self._page(200, "<p>Signed in. You can close this page.</p>")

    def _pick_user(self, path: str, raw_query: str) -> None:
        before = html.escape(f"{path}?{raw_query}&login_hint=" if raw_query else f"{path}?login_hint=")
        rows = (
            f'<li><a href="{before}{user}">{user}</a> {", ".join(roles)}</li>'
            for user, roles in USERS.items()
        )
        self._page(200, f"<h1>Sign in as</h1><ul>{''.join(rows)}</ul>")

    def _page(self, status: int, body: str) -> None:
        page = f"<!doctype html><title>fleetgrass, local sign-in</title>{body}"
        self._send(status, "text/html; charset=utf-8", page.encode(), {})

    def _json(self, status: int, body: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode(), {"Cache-Control": "no-store"})

    def _send(self, status: int, kind: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

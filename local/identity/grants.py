"""Grants of the local identity provider: who may have which token, by client, user and grant. No I/O.

Tokens look like Entra ID's and AMMA's where fleetgrass looks at them: RS256, ``iss``, ``aud``, ``exp``,
``nbf``, ``kid`` and app roles in ``roles``.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

TOKEN_LIFETIME_S = 3600
CODE_LIFETIME_S = 300
PUBLIC_CLIENT = "fleetgrass-cli"  # no secret: authorization code with PKCE, and device code
ANY_ROLE_CLIENT = "fleetgrass-local"  # may ask for any role by scope: a convenience of this provider only

ROLES = ("Fleet.Reader", "Fleet.Operator", "Fleet.Deployer", "Fleet.Admin")
#: One user per role, and two whose role ends at a group.
USERS: Mapping[str, tuple[str, ...]] = {
    "rita": ("Fleet.Reader",),
    "otto": ("Fleet.Operator",),
    "dana": ("Fleet.Deployer",),
    "adam": ("Fleet.Admin",),
    "lina": ("Fleet.Operator:line-3",),
    "dora": ("Fleet.Deployer:line-3",),
}


class GrantRefused(Exception):
    """A token request that RFC 6749 or RFC 8628 answers with an error; ``code`` is theirs."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


@dataclass(frozen=True, slots=True)
class Client:
    """A confidential client and the roles its own tokens carry."""

    secret: str
    roles: tuple[str, ...]


@dataclass(slots=True)
class _Waiting:
    """An authorization code, or a device that waits for its user's word."""

    client_id: str
    expires_at: float
    user: str | None = None
    challenge: str = ""
    redirect_uri: str = ""


@dataclass(slots=True)
class Grants:
    """Issues tokens. ``now`` gives Unix time in seconds; callers on several threads share a lock."""

    issuer: str
    audience: str
    now: Callable[[], float]
    clients: dict[str, Client] = field(default_factory=dict)
    _keys: list[tuple[str, rsa.RSAPrivateKey]] = field(default_factory=list)
    _codes: dict[str, _Waiting] = field(default_factory=dict)
    _devices: dict[str, _Waiting] = field(default_factory=dict)
    _user_codes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rotate_key()
        for role in (*ROLES, "Fleet.Operator:line-3", "Fleet.Deployer:line-3"):
            self.clients[client_of(role)] = Client(secrets.token_urlsafe(24), (role,))
        self.clients[ANY_ROLE_CLIENT] = Client(secrets.token_urlsafe(24), ())

    def rotate_key(self) -> None:
        """Sign with a new key from now on; the one before stays published."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._keys = [(secrets.token_hex(8), key), *self._keys[:1]]

    def key_set(self) -> dict[str, Any]:
        """Return the JWKS: the public halves of the keys that tokens in use may be signed with."""
        keys = []
        for kid, key in self._keys:
            public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            keys.append(public | {"kid": kid, "use": "sig", "alg": "RS256"})
        return {"keys": keys}

    def issue(self, subject: str, roles: tuple[str, ...], /, **claims: Any) -> str:
        """Return a signed token; ``claims`` replace what it would say, a claim of None is left out."""
        now = int(self.now())
        said = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_LIFETIME_S,
            "jti": secrets.token_hex(8),
            "roles": list(roles),
        }
        kid, key = self._keys[0]
        kept = {name: value for name, value in (said | claims).items() if value is not None}
        return jwt.encode(kept, key, algorithm="RS256", headers={"kid": kid})

    def client_credentials(self, client_id: str, secret: str, scope: str) -> str:
        """Return a token for a client itself (RFC 6749, 4.4).

        Raises:
            GrantRefused: no such client, another secret, or a scope that names no role.
        """
        client = self.clients.get(client_id)
        if client is None or not hmac.compare_digest(client.secret, secret):
            raise GrantRefused("invalid_client", "unknown client, or not its secret")
        roles = client.roles
        if client_id == ANY_ROLE_CLIENT:
            roles = tuple(word for word in scope.split() if word.startswith("Fleet."))
            if not roles:
                raise GrantRefused("invalid_scope", "name the role in scope, such as Fleet.Reader")
        return self.issue(client_id, roles, azp=client_id)

    def authorize(self, client_id: str, redirect_uri: str, challenge: str, method: str, user: str) -> str:
        """Return an authorization code for a user who said yes (RFC 6749, 4.1 with RFC 7636).

        Raises:
            GrantRefused: not the public client, no S256 challenge, an unknown user, a foreign redirect.
        """
        if client_id != PUBLIC_CLIENT:
            raise GrantRefused("unauthorized_client", f"only {PUBLIC_CLIENT} signs users in")
        if method != "S256" or not challenge:
            raise GrantRefused("invalid_request", "a code_challenge with method S256 is needed")
        if not redirect_uri.startswith(("http://127.0.0.1:", "http://localhost:")):
            raise GrantRefused("invalid_request", "redirect_uri must be on loopback")
        self._known(user)
        code = secrets.token_urlsafe(24)
        self._codes[code] = _Waiting(client_id, self.now() + CODE_LIFETIME_S, user, challenge, redirect_uri)
        return code

    def redeem_code(self, client_id: str, code: str, verifier: str, redirect_uri: str) -> str:
        """Return the token for an authorization code, once.

        Raises:
            GrantRefused: the code is unknown, used, expired, of another client or redirect, or the
                verifier does not match its challenge.
        """
        waiting = self._codes.pop(code, None)
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            waiting is None
            or waiting.user is None
            or waiting.expires_at <= self.now()
            or (waiting.client_id, waiting.redirect_uri) != (client_id, redirect_uri)
            or not hmac.compare_digest(waiting.challenge, challenge)
        ):
            raise GrantRefused("invalid_grant", "the code is not good, or not for this client and verifier")
        return self._for_user(waiting.user, client_id)

    def begin_device(self, client_id: str) -> tuple[str, str]:
        """Return ``(device_code, user_code)`` of a device that waits for its user (RFC 8628).

        Raises:
            GrantRefused: not the public client.
        """
        if client_id != PUBLIC_CLIENT:
            raise GrantRefused("unauthorized_client", f"only {PUBLIC_CLIENT} signs users in")
        device_code = secrets.token_urlsafe(24)
        user_code = "-".join(secrets.token_hex(2).upper() for _ in range(2))
        self._devices[device_code] = _Waiting(client_id, self.now() + CODE_LIFETIME_S)
        self._user_codes[user_code] = device_code
        return device_code, user_code

    def approve_device(self, user_code: str, user: str) -> None:
        """Say yes, as ``user``, to the device that shows ``user_code``.

        Raises:
            GrantRefused: no device waits with that code, or the user is unknown.
        """
        self._known(user)
        device_code = self._user_codes.pop(user_code.upper(), None)
        if device_code is None or device_code not in self._devices:
            raise GrantRefused("invalid_grant", "no device waits with this code")
        self._devices[device_code].user = user

    def redeem_device(self, client_id: str, device_code: str) -> str:
        """Return the token for a device whose user said yes, once.

        Raises:
            GrantRefused: ``authorization_pending`` until then, ``expired_token`` after five minutes.
        """
        waiting = self._devices.get(device_code)
        if waiting is None or waiting.client_id != client_id:
            raise GrantRefused("invalid_grant", "unknown device code")
        if waiting.expires_at <= self.now():
            raise GrantRefused("expired_token", "nobody said yes in time")
        if waiting.user is None:
            raise GrantRefused("authorization_pending", "nobody has said yes yet")
        del self._devices[device_code]
        return self._for_user(waiting.user, client_id)

    def _known(self, user: str) -> None:
        if user not in USERS:
            raise GrantRefused("access_denied", f"there is no user {user!r}")

    def _for_user(self, user: str, client_id: str) -> str:
        return self.issue(user, USERS[user], azp=client_id, preferred_username=user)


def client_of(role: str) -> str:
    """Return the id of the seeded client whose tokens carry ``role``: ``fleetgrass-operator-line-3``."""
    return "fleetgrass-" + role.removeprefix("Fleet.").lower().replace(":", "-")

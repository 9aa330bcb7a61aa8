import base64
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jwt
import pytest
import requests

from cloud.functions.system import authorize
from local.identity.grants import ANY_ROLE_CLIENT, PUBLIC_CLIENT, client_of
from local.identity.server import AUDIENCE, IdentityProvider

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT = "http://127.0.0.1:9/back"


@dataclass
class Clock:
    seconds: float = 1_800_000_000

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def provider(clock: Clock) -> Iterator[IdentityProvider]:
    provider = IdentityProvider(now=clock)
    yield provider
    provider.stop()


def claims_of(provider: IdentityProvider, token: str, **options: bool) -> dict[str, object]:
    """Verify a token with what discovery says, as an API would."""
    discovery = requests.get(f"{provider.issuer_url}/.well-known/openid-configuration", timeout=5).json()
    keys = jwt.PyJWKSet.from_dict(requests.get(discovery["jwks_uri"], timeout=5).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, object] = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=AUDIENCE,
        issuer=discovery["issuer"],
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    return claims


def post(provider: IdentityProvider, path: str, **form: str) -> requests.Response:
    return requests.post(f"{provider.issuer_url}{path}", data=form, timeout=5)


def ask(provider: IdentityProvider, **form: str) -> requests.Response:
    return post(provider, "/token", **form)


@pytest.mark.parametrize("role", ["Fleet.Reader", "Fleet.Admin", "Fleet.Operator:line-3"])
def test_a_client_gets_a_token_with_its_role_for_its_secret(provider: IdentityProvider, role: str) -> None:
    client = client_of(role)

    answer = requests.post(
        f"{provider.issuer_url}/token",
        data={"grant_type": "client_credentials"},
        auth=(client, provider.secret(client)),
        timeout=5,
    )

    claims = claims_of(provider, answer.json()["access_token"])
    assert (claims["roles"], claims["sub"]) == ([role], client)


def test_the_local_client_gets_the_role_it_names_in_scope(provider: IdentityProvider) -> None:
    answer = ask(
        provider,
        grant_type="client_credentials",
        client_id=ANY_ROLE_CLIENT,
        client_secret=provider.secret(),
        scope="Fleet.Operator:line-9",
    )

    assert claims_of(provider, answer.json()["access_token"])["roles"] == ["Fleet.Operator:line-9"]


def test_a_wrong_secret_is_an_invalid_client(provider: IdentityProvider) -> None:
    answer = ask(
        provider, grant_type="client_credentials", client_id=client_of("Fleet.Admin"), client_secret="guess"
    )

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_grant_it_does_not_have_is_refused(provider: IdentityProvider) -> None:
    answer = ask(provider, grant_type="password", client_id=PUBLIC_CLIENT)

    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def authorization_code(provider: IdentityProvider, verifier: str, user: str = "dana") -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "client_id": PUBLIC_CLIENT,
        "redirect_uri": REDIRECT,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        "state": "s",
        "login_hint": user,
    }
    answer = requests.get(f"{provider.issuer_url}/authorize", query, allow_redirects=False, timeout=5)
    assert answer.headers["Location"].startswith(f"{REDIRECT}?code=")
    return answer.headers["Location"].split("code=")[1].split("&")[0]


def redeem(provider: IdentityProvider, code: str, verifier: str) -> requests.Response:
    return ask(
        provider,
        grant_type="authorization_code",
        client_id=PUBLIC_CLIENT,
        code=code,
        code_verifier=verifier,
        redirect_uri=REDIRECT,
    )


def test_a_user_signs_in_with_code_and_verifier_once(provider: IdentityProvider) -> None:
    code = authorization_code(provider, "verifier")

    token = redeem(provider, code, "verifier").json()["access_token"]

    claims = claims_of(provider, token)
    assert (claims["preferred_username"], claims["roles"]) == ("dana", ["Fleet.Deployer"])
    assert redeem(provider, code, "verifier").json()["error"] == "invalid_grant"


def test_a_code_without_its_verifier_is_worth_nothing(provider: IdentityProvider) -> None:
    code = authorization_code(provider, "verifier")

    assert redeem(provider, code, "another").json()["error"] == "invalid_grant"


def test_without_a_chosen_user_a_page_offers_the_users(provider: IdentityProvider) -> None:
    page = requests.get(f"{provider.issuer_url}/authorize?client_id={PUBLIC_CLIENT}", timeout=5).text

    assert "login_hint=rita" in page


def test_a_device_waits_until_its_user_says_yes(provider: IdentityProvider) -> None:
    begun = post(provider, "/device_authorization", client_id=PUBLIC_CLIENT).json()
    wanted = {"grant_type": DEVICE_GRANT, "client_id": PUBLIC_CLIENT, "device_code": begun["device_code"]}
    assert ask(provider, **wanted).json()["error"] == "authorization_pending"

    requests.get(f"{begun['verification_uri_complete']}&login_hint=lina", timeout=5).raise_for_status()

    assert claims_of(provider, ask(provider, **wanted).json()["access_token"])["roles"] == [
        "Fleet.Operator:line-3"
    ]
    assert ask(provider, **wanted).json()["error"] == "invalid_grant"


def test_a_device_nobody_approves_expires(provider: IdentityProvider, clock: Clock) -> None:
    begun = post(provider, "/device_authorization", client_id=PUBLIC_CLIENT).json()

    clock.seconds += begun["expires_in"]

    answer = ask(provider, grant_type=DEVICE_GRANT, client_id=PUBLIC_CLIENT, device_code=begun["device_code"])
    assert answer.json()["error"] == "expired_token"


def test_tokens_of_the_key_before_the_newest_still_verify(provider: IdentityProvider) -> None:
    token = provider.token("Fleet.Reader")

    with provider.lock:
        provider.grants.rotate_key()

    assert claims_of(provider, token)["roles"] == ["Fleet.Reader"]
    assert len(requests.get(f"{provider.issuer_url}/jwks", timeout=5).json()["keys"]) == 2


def test_a_test_can_have_a_token_with_any_claim_replaced_or_left_out(provider: IdentityProvider) -> None:
    token = provider.token("Fleet.Reader", sub="someone", nbf=None)

    claims = claims_of(provider, token)
    assert claims["sub"] == "someone"
    assert "nbf" not in claims


def test_the_authorizer_as_it_is_deployed_takes_the_providers_tokens_of_both_kinds(
    provider: IdentityProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = {
        "issuer": provider.issuer_url,
        "audience": AUDIENCE,
        "jwks_uri": f"{provider.issuer_url}/jwks",
        "roles_claim": "roles",
    }
    monkeypatch.setenv("ISSUERS", json.dumps([issuer]))
    monkeypatch.setattr(authorize, "_wired", [])
    monkeypatch.setattr(clock, "seconds", time.time())
    own = provider.grants.issue("robot", ("Fleet.Operator",), azp="robot")
    users = provider.grants.issue("otto", ("Fleet.Operator",), azp=PUBLIC_CLIENT)

    found = [
        authorize.handler({"routeKey": route, "headers": {"authorization": f"Bearer {token}"}}, None)
        for route in ("GET /devices", "POST /deployments")
        for token in (own, users, own + "A")
    ]

    assert [answer["isAuthorized"] for answer in found] == [True, True, False, False, False, False]
    own_context, users_context = (answer["context"] for answer in found[:2])
    assert (own_context["kind"], own_context["application"]) == ("application", "robot")
    assert (users_context["kind"], users_context["application"]) == ("user", PUBLIC_CLIENT)
    assert own_context["token_id"] != users_context["token_id"]

"""What a token says: who asks, through what, as what and until when, at each kind of issuer."""

from typing import Any

import pytest

from cloud.auth.issuers import Issuer, parse_issuers
from cloud.auth.tokens import Untrusted, Verifier
from tests.support.cloud.tokens import (
    CLAIMS,
    ISSUER,
    KEY,
    NOW,
    OTHER,
    SECOND,
    Keys,
    Time,
    a_verifier,
    jwk,
    token,
)


def test_a_token_of_the_issuer_says_who_asks_through_what_and_until_when() -> None:
    claims = a_verifier().verify(token(aud=["x", "fleetgrass"]))

    assert (claims.issuer, claims.subject, claims.kind) == ("https://id.test", "ada", "user")
    assert (claims.application, claims.token_id) == ("console", "token-1")
    assert (claims.roles, claims.expires_at) == (("Fleet.Admin",), NOW + 600)


def test_what_a_token_does_not_say_of_application_and_id_is_empty() -> None:
    claims = a_verifier().verify(token(azp=None, jti=None))
    assert (claims.application, claims.token_id) == ("", "")


def test_claims_are_those_of_the_token_that_was_verified_whatever_else_is_read_meanwhile() -> None:
    """While one waits for its issuer's keys, another of another issuer is read by the same verifier."""
    meanwhile: list[str] = []

    def fetch(uri: str) -> bytes:
        if uri == ISSUER.jwks_uri:
            eve = token(OTHER, sub="eve", iss=SECOND.issuer, aud="fleet-api")
            meanwhile.append(verifier.verify(eve).subject)
        return Keys(jwk(KEY if uri == ISSUER.jwks_uri else OTHER, "k1"))(uri)

    verifier = Verifier((ISSUER, SECOND), fetch=fetch, monotonic=Time())

    assert verifier.verify(token()).subject == "ada"
    assert meanwhile == ["eve"]


@pytest.mark.parametrize("changes", [{"exp": NOW - 59}, {"nbf": NOW + 59}, {"nbf": None}])
def test_clocks_may_differ_by_a_minute(changes: dict[str, Any]) -> None:
    assert a_verifier().verify(token(**changes)).subject == "ada"


@pytest.mark.parametrize(
    ("claim", "roles"),
    [
        (["a", "b"], ("a", "b")),
        ("a b", ("a", "b")),
        (None, ()),
        (7, ()),
        ({"a": 1}, ()),
        (["a", 7, None], ("a",)),
    ],
)
def test_roles_may_be_a_list_or_a_text_and_anything_else_is_none(
    claim: object, roles: tuple[str, ...]
) -> None:
    assert a_verifier().verify(token(roles=claim)).roles == roles


TENANT = "11111111-2222-3333-4444-555555555555"
ENTRA_V2, ENTRA_V1, PLATFORM = parse_issuers(
    f"""[
      {{"issuer": "https://login.microsoftonline.com/{TENANT}/v2.0", "audience": "api-client-id",
        "jwks_uri": "https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
        "subject_claim": "oid", "user_scope": "Fleet.Access"}},
      {{"issuer": "https://sts.windows.net/{TENANT}/", "audience": ["api://fleetgrass", "api-client-id"],
        "jwks_uri": "https://login.microsoftonline.com/{TENANT}/discovery/keys", "subject_claim": "oid"}},
      {{"issuer": "https://amma.test", "audience": "fleetgrass", "jwks_uri": "https://amma.test/jwks",
        "roles_claim": "https://amma.test/roles", "application_claim": "cid"}}
    ]"""
)
#: The claims beside aud, exp and nbf that each issuer gives, in the names that its documents have.
OF_USERS: list[tuple[Issuer, dict[str, Any]]] = [
    (ENTRA_V2, {"aud": "api-client-id", "oid": "user-oid", "sub": "pairwise", "azp": "spa", "uti": "u1",
                "scp": "profile Fleet.Access", "roles": ["Fleet.Admin"], "ver": "2.0", "tid": TENANT}),
    (ENTRA_V1, {"aud": "api://fleetgrass", "oid": "user-oid", "sub": "pairwise", "appid": "spa", "uti": "u1",
                "scp": "Fleet.Access", "roles": ["Fleet.Admin"], "ver": "1.0", "tid": TENANT}),
    (PLATFORM, {"aud": "fleetgrass", "sub": "user-oid", "cid": "spa", "jti": "u1",
                "https://amma.test/roles": "Fleet.Admin"}),
]  # fmt: skip
OF_APPLICATIONS: list[tuple[Issuer, dict[str, Any]]] = [
    (ENTRA_V2, {"aud": "api-client-id", "oid": "service", "sub": "service", "azp": "robot", "uti": "u1",
                "roles": ["Fleet.Admin"], "ver": "2.0", "tid": TENANT}),
    (ENTRA_V2, {"aud": "api-client-id", "oid": "service", "sub": "other", "azp": "robot", "uti": "u1",
                "idtyp": "app", "roles": ["Fleet.Admin"], "ver": "2.0", "tid": TENANT}),
    (ENTRA_V1, {"aud": "api-client-id", "oid": "service", "sub": "service", "appid": "robot", "uti": "u1",
                "roles": ["Fleet.Admin"], "ver": "1.0", "tid": TENANT}),
    (PLATFORM, {"aud": "fleetgrass", "sub": "robot", "cid": "robot", "jti": "u1",
                "https://amma.test/roles": ["Fleet.Admin"]}),
]  # fmt: skip
_PLAIN: dict[str, None] = dict.fromkeys(CLAIMS.keys() - {"exp", "nbf", "iat"})


def said_by(issuer: Issuer, claims: dict[str, Any]) -> str:
    return token(**(_PLAIN | {"iss": issuer.issuer} | claims))


@pytest.mark.parametrize(("issuer", "claims"), OF_USERS)
def test_a_users_token_is_the_users_whatever_the_issuer_calls_it(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    said = a_verifier(issuer=issuer).verify(said_by(issuer, claims))

    assert (said.subject, said.kind, said.application, said.token_id) == ("user-oid", "user", "spa", "u1")
    assert said.roles == ("Fleet.Admin",)


@pytest.mark.parametrize(("issuer", "claims"), OF_APPLICATIONS)
def test_an_applications_own_token_is_the_applications(issuer: Issuer, claims: dict[str, Any]) -> None:
    said = a_verifier(issuer=issuer).verify(said_by(issuer, claims))

    assert (said.kind, said.application, said.roles) == ("application", "robot", ("Fleet.Admin",))


def test_delegated_permissions_are_no_roles() -> None:
    issuer, claims = OF_USERS[0]
    said = a_verifier(issuer=issuer).verify(
        said_by(issuer, claims | {"scp": "Fleet.Access Fleet.Admin", "roles": None})
    )
    assert said.roles == ()


@pytest.mark.parametrize("scp", [None, "Fleet.Acces", "Fleet.Access2", 7])
def test_a_users_token_without_the_scope_that_its_issuer_must_give_is_none_for_us(scp: object) -> None:
    """Where client and API share a registration, an ID token has the audience, the roles, and no scope."""
    issuer, claims = OF_USERS[0]
    with pytest.raises(Untrusted, match="scope-missing"):
        a_verifier(issuer=issuer).verify(said_by(issuer, claims | {"scp": scp}))


def test_a_token_without_the_claim_that_its_issuer_names_the_subject_by_is_refused() -> None:
    issuer, claims = OF_USERS[1]
    with pytest.raises(Untrusted, match="claim-missing"):
        a_verifier(issuer=issuer).verify(said_by(issuer, claims | {"oid": None}))

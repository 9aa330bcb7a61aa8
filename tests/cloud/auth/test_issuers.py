"""What the stack's parameters Issuers and RoleNames may say, and how they are refused: by the path."""

import json
from typing import Any

import pytest

from cloud.auth.issuers import BadConfiguration, Issuer, parse_issuers, parse_role_names
from cloud.functions.system import authorize

GOOD: dict[str, Any] = {"issuer": "https://a", "audience": "b", "jwks_uri": "https://a/keys"}
ENTRA = "https://login.microsoftonline.com"


def text(*issuers: Any) -> str:
    return json.dumps(list(issuers))


BAD: list[tuple[str, str]] = [
    ("x", "ISSUERS is not JSON"),
    ("", "ISSUERS is not JSON"),
    ("[]", "ISSUERS: must be a list of at least one issuer"),
    ("{}", "ISSUERS: must be a list of at least one issuer"),
    ("null", "ISSUERS: must be a list of at least one issuer"),
    (text("https://a"), "ISSUERS[0]: must be an object"),
    (text(GOOD, None), "ISSUERS[1]: must be an object"),
    ('[{"issuer": "a", "issuer": "b"}]', 'ISSUERS is not JSON: "issuer" is given twice in one object'),
    (text({"issuer": "a", "audience": "b"}), "ISSUERS[0].jwks_uri: missing"),
    (text({"issuer": "a", "jwks_uri": "https://a"}), "ISSUERS[0].audience: missing"),
    (text({"audience": "b", "jwks_uri": "https://a"}), "ISSUERS[0].issuer: missing"),
    (text(GOOD | {"issuer": 7}), "ISSUERS[0].issuer: must be a text"),
    (text(GOOD | {"issuer": "a\n"}), "ISSUERS[0].issuer: must be a text"),
    (text(GOOD | {"audience": ""}), "ISSUERS[0].audience: must be a text"),
    (text(GOOD | {"audience": []}), "ISSUERS[0].audience: must name at least one"),
    (text(GOOD | {"audience": ["b", 7]}), "ISSUERS[0].audience[1]: must be a text"),
    (text(GOOD | {"audience": {"b": 1}}), "ISSUERS[0].audience: must be a text"),
    (text(GOOD | {"role_claim": "r"}), "ISSUERS[0].role_claim: unknown member"),
    (text(GOOD | {"roles_claim": ["r"]}), "ISSUERS[0].roles_claim: must be a text"),
    (text(GOOD | {"roles_claim": "scp"}), "ISSUERS[0].roles_claim: scp says what an application may do"),
    (text(GOOD | {"roles_claim": "scope"}), "ISSUERS[0].roles_claim: scope says what"),
    (text(GOOD | {"application_claim": None}), "ISSUERS[0].application_claim: missing"),
    (text(GOOD | {"subject_claim": ""}), "ISSUERS[0].subject_claim: must be a text"),
    (text(GOOD | {"jwks_uri": "http://id.test/jwks"}), "ISSUERS[0].jwks_uri: must be https"),
    (text(GOOD | {"jwks_uri": "http://127.0.0.1.evil.test/"}), "ISSUERS[0].jwks_uri: must be https"),
    (text(GOOD | {"jwks_uri": "http://127.0.0.1@evil.test/"}), "ISSUERS[0].jwks_uri: is no address"),
    (text(GOOD | {"jwks_uri": "file:///etc/passwd"}), "ISSUERS[0].jwks_uri: is no address"),
    (text(GOOD | {"jwks_uri": "ftp://id.test/jwks"}), "ISSUERS[0].jwks_uri: must be https"),
    (text(GOOD | {"jwks_uri": "http://[::1"}), "ISSUERS[0].jwks_uri: is no address"),
    (text(GOOD | {"jwks_uri": "https://id.test:port/"}), "ISSUERS[0].jwks_uri: is no address"),
    (text(GOOD | {"jwks_uri": "https://id.test/a b"}), "ISSUERS[0].jwks_uri: is no address"),
    (text(GOOD, GOOD), "ISSUERS[1].issuer: is ISSUERS[0].issuer too"),
    (text(GOOD | {"issuer": ENTRA + "/{tenantid}/v2.0"}), "ISSUERS[0].issuer: must be one tenant's"),
    (text(GOOD | {"issuer": ENTRA + "/common/v2.0"}), "ISSUERS[0].issuer: must be one tenant's"),
    (
        text(GOOD | {"jwks_uri": ENTRA + "/common/discovery/v2.0/keys"}),
        "ISSUERS[0].jwks_uri: must be one ten",
    ),
    (text(*(GOOD | {"issuer": f"https://{i}"} for i in range(50))), "ISSUERS: longer than the 3072 bytes"),
]


@pytest.mark.parametrize(("issuers", "refusal"), BAD)
def test_a_bad_issuer_is_refused_by_the_path_of_its_member(issuers: str, refusal: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse_issuers(issuers)
    assert str(refused.value).startswith(refusal)


def test_an_issuer_may_name_several_audiences_and_the_claims_it_uses() -> None:
    (issuer,) = parse_issuers(
        text(
            GOOD
            | {"audience": ["b", "c"], "roles_claim": "r", "subject_claim": "oid", "user_scope": "s"}
            | {"application_claim": "cid", "token_id_claim": "tid"}
        )
    )
    assert issuer == Issuer("https://a", ("b", "c"), "https://a/keys", "r", "oid", ("cid",), ("tid",), "s")


def test_what_is_not_said_is_as_the_standards_and_entra_have_it() -> None:
    assert parse_issuers(text(GOOD)) == (Issuer("https://a", ("b",), "https://a/keys"),)


def test_loopback_may_be_asked_over_plain_http() -> None:
    for host in ("127.0.0.1:9", "localhost:9", "[::1]:9"):
        (issuer,) = parse_issuers(text(GOOD | {"jwks_uri": f"http://{host}/keys"}))
        assert issuer.jwks_uri == f"http://{host}/keys"


@pytest.mark.parametrize(
    ("names", "refusal"),
    [
        ("[]", "ROLES: must be an object"),
        ("{", "ROLES is not JSON"),
        ('{"Fleet.Boss": "x"}', "ROLES.Fleet.Boss: there is no such role; they are Fleet.Admin, "),
        ('{"Fleet.Reader": ["x"]}', "ROLES.Fleet.Reader: must be a text"),
        ('{"Fleet.Reader": ""}', "ROLES.Fleet.Reader: must be a text"),
        ('{"Fleet.Reader": "a b"}', "ROLES.Fleet.Reader: must hold no white space"),
        ('{"Fleet.Reader": "Fleet.Admin"}', 'ROLES: "Fleet.Admin" would mean Fleet.Admin and Fleet.Reader'),
        ('{"Fleet.Reader": "x", "Fleet.Admin": "x"}', 'ROLES: "x" would mean Fleet.Admin and Fleet.Reader'),
        ('{"Fleet.Reader": "f", "Fleet.Admin": "f:a"}', 'ROLES: "f:a" would mean Fleet.Admin and Fleet.R'),
    ],
)
def test_a_role_name_that_is_wrong_or_means_two_roles_is_refused(names: str, refusal: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse_role_names(names)
    assert str(refused.value).startswith(refusal)


def test_role_names_may_change_places_with_nobody_left_unsure() -> None:
    swapped = {"Fleet.Reader": "Fleet.Operator", "Fleet.Operator": "Fleet.Reader"}
    assert parse_role_names(json.dumps(swapped)) == swapped
    assert parse_role_names("{}") == {}


@pytest.mark.parametrize(("name", "value"), [("ISSUERS", "[{}]"), ("ROLES", '{"x": "y"}')])
def test_an_authorizer_that_is_configured_wrongly_says_so_at_its_start_and_lets_nobody_in(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISSUERS", text(GOOD))
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(authorize, "_wired", [])
    with pytest.raises(BadConfiguration, match=name):
        authorize.handler({"routeKey": "GET /devices", "headers": {"authorization": "Bearer a.b.c"}}, None)


def test_an_authorizer_that_is_configured_well_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUERS", text(GOOD))
    monkeypatch.setenv("ROLES", '{"Fleet.Reader": "Vloot.Lezer"}')
    wired: list[Any] = []
    monkeypatch.setattr(authorize, "_wired", wired)
    event = {"routeKey": "GET /devices", "headers": {"authorization": "Bearer a.b.c"}}
    assert authorize.handler(event, None) == {"isAuthorized": False}
    assert len(wired) == 1

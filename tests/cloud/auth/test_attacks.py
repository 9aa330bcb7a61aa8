"""The authorizer against what attackers send. None gets in; the same token made honestly does."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.auth.tokens import TOKEN_MAX_BYTES, Untrusted
from tests.cloud.auth.attacks import claims, forms, keys
from tests.cloud.auth.attacks.attack import ATTACKS, HONEST, H, P
from tests.support.cloud.emf import assert_emf, lines
from tests.support.cloud.tokens import (
    CLAIMS,
    HEADER,
    KEY,
    OTHER,
    a_verifier,
    b64,
    bearer,
    decide,
    handmade,
    jwk,
    rs256,
    token,
    two_issuers,
)

KINDS = (keys, claims, forms)  # each adds its attacks to the table


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_refused_and_the_same_token_made_honestly_gets_in(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    one = ATTACKS[name]

    assert decide(one.headers, verifier=two_issuers(*one.keys)) == {"isAuthorized": False}
    (refusal,) = [record for record in caplog.records if record.getMessage().startswith("refused: ")]
    assert refusal.getMessage() == f"refused: code={one.code}" or not one.code
    assert decide(bearer(one.honest), verifier=two_issuers(*one.keys))["isAuthorized"] is True


def test_a_refusal_is_counted_by_its_code_and_tells_nothing_of_the_token(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in ATTACKS.values():
        decide(one.headers, verifier=two_issuers(*one.keys))

    counted = lines(capsys)
    assert len(counted) == len(caplog.records) == len(ATTACKS)
    for line, record in zip(counted, caplog.records, strict=True):
        assert_emf(line)
        assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stack"], ["stack", "code"]]
        assert (line["authorizer_refusals"], line["code"]) == (1, vars(record)["code"])
    assert {record.getMessage().removeprefix("refused: code=") for record in caplog.records} <= {
        *(one.code for one in ATTACKS.values()),
        "no-token",
    }


def test_an_attacker_s_address_is_never_asked() -> None:
    asked: list[str] = []

    def fetch(uri: str) -> bytes:
        asked.append(uri)
        return json.dumps({"keys": [jwk(KEY, "k1")]}).encode()

    for one in ATTACKS.values():
        decide(one.headers, verifier=a_verifier(fetch))

    assert set(asked) == {"https://id.test/jwks"}


def test_the_largest_token_that_the_gateway_lets_through_gets_in() -> None:
    room = TOKEN_MAX_BYTES - len(token(padding=""))
    largest = token(padding="x" * (room * 3 // 4))

    assert TOKEN_MAX_BYTES - 4 <= len(largest) <= TOKEN_MAX_BYTES
    assert decide(bearer(largest))["isAuthorized"] is True


def test_the_digest_in_a_token_is_the_one_that_is_checked() -> None:
    """PKCS 1 v1.5 names its digest inside: SHA-512 and SHA-1 under the name of RS256 are no RS256."""
    for digest in (jwt.algorithms.RSAAlgorithm.SHA512, jwt.algorithms.RSAAlgorithm.SHA384):
        other = jwt.algorithms.RSAAlgorithm(digest)
        forged = handmade(HEADER, CLAIMS, lambda text, other=other: other.sign(text, KEY))  # type: ignore[misc]
        assert decide(bearer(forged)) == {"isAuthorized": False}


@given(st.text(max_size=200), st.dictionaries(st.text(), st.integers() | st.text()))
def test_no_text_makes_the_verifier_do_anything_but_refuse(text: str, members: dict[str, Any]) -> None:
    for attempt in (
        text,
        handmade(members, CLAIMS),
        handmade(HEADER, members),
        handmade(HEADER, CLAIMS, rs256(OTHER)),
    ):
        with pytest.raises(Untrusted):
            a_verifier().verify(attempt)


@given(st.integers(min_value=0, max_value=len(HONEST) - 1), st.characters(codec="utf-8"))
def test_no_character_of_a_token_can_be_another(place: int, character: str) -> None:
    forged = HONEST[:place] + character + HONEST[place + 1 :]
    if forged != HONEST:
        with pytest.raises(Untrusted):
            a_verifier().verify(forged)


@given(st.binary(max_size=300))
def test_no_signature_but_the_keys_own_is_taken(signature: bytes) -> None:
    with pytest.raises(Untrusted):
        a_verifier().verify(f"{H}.{P}.{b64(signature)}")


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "RS384", "none", "HS256", "PS256"]),
        "aud": st.sampled_from(["fleetgrass", "other", ["fleetgrass", "other"], ["other"], []]),
        "iss": st.sampled_from(["https://id.test", "https://evil.test"]),
        "sub": st.sampled_from(["ada", "bob"]),
        "key": st.sampled_from([KEY, OTHER]),
    },
)


@given(_CHANGES, st.integers(-3, 3))
def test_what_pyjwt_refuses_is_refused_and_what_it_takes_is_taken(changes: dict[str, Any], cut: int) -> None:
    """Another hand's verifier as the oracle, on tokens that are right, nearly right, and cut short."""
    header = {**HEADER, "alg": changes.pop("alg", "RS256")}
    key = changes.pop("key", KEY)
    made = handmade(header, CLAIMS | changes, rs256(key))
    made = made[: len(made) - abs(cut)]
    checks: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    try:
        jwt.decode(made, KEY.public_key(), ["RS256"], checks, audience="fleetgrass", issuer="https://id.test")
        right = True
    except jwt.PyJWTError:
        right = False
    try:
        a_verifier().verify(made)
        taken = True
    except Untrusted:
        taken = False
    assert taken == right

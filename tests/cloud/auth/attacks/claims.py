"""Attacks on what is said: by whom, for whom, until when, of whom, with which roles."""

import json
from typing import Any

from tests.cloud.auth.attacks.attack import OF_SECOND, attack, said
from tests.support.cloud.tokens import CLAIMS, HEADER, KEY, NOW, OTHER, SECOND, handmade, token

# ---- from whom, and for whom
for iss in ["https://evil.test", "https://id.test/", "https://id.test.evil.test", "HTTPS://ID.TEST", ""]:
    attack(f"issuer {iss!r}", token(iss=iss), "issuer-unknown")
NO_TEXTS: list[Any] = [None, 0, True, ["https://id.test"], {"https://id.test": 1}]
for iss in NO_TEXTS:
    attack(f"issuer of no text: {iss!r}", handmade(HEADER, said(CLAIMS, "iss", iss)), "issuer-unknown")
attack("no issuer", token(iss=None), "issuer-unknown")
AUDIENCES: list[Any] = [
    "someone-else", "fleetgrass ", "Fleetgrass", "fleetgras", "fleetgrass2", "", "*", [], [1, 2],
    [["fleetgrass"]],
    ["fleetgrass", 1], {"fleetgrass": 1}, 7, True, "fleetgrass,someone-else", ["fleetgrass someone-else"],
]  # fmt: skip
for aud in AUDIENCES:
    attack(f"audience {aud!r}", token(aud=aud), "audience-wrong")
attack("no audience", token(aud=None), "claim-missing")
attack("audience null", handmade(HEADER, said(CLAIMS, "aud", None)), "claim-missing")
attack("an issuer's token for another's audience", token(aud="fleet-api"), "audience-wrong")
attack(
    "the other issuer's token for our audience", token(OTHER, iss=SECOND.issuer), "audience-wrong",
    honest=token(OTHER, **OF_SECOND),
)  # fmt: skip

# ---- when
attack("expired", token(exp=NOW - 61), "expired", token(exp=NOW - 59))
attack("expired at the start of time", token(exp=0), "expired")
attack("not yet valid", token(nbf=NOW + 61), "not-yet-valid", token(nbf=NOW + 59))
attack("issued in the future", token(iat=NOW + 61), "not-yet-valid", token(iat=NOW + 59))
attack("never expires", token(exp=None), "claim-missing")
for name in ("exp", "nbf", "iat"):
    for value in ["4000000000", True, [NOW + 5], {}, 10**300, -1, 10**12]:
        attack(f"{name} {json.dumps(value)[:20]}", token(KEY, header=None, **{name: value}), "time-unusable")
    for value in ("Infinity", "-Infinity", "NaN", "1e999"):
        text = json.dumps(CLAIMS | {name: 0}).replace(f'"{name}": 0', f'"{name}": {value}')
        attack(f"{name} {value}", handmade(HEADER, text.encode()), "malformed")
    attack(f"{name} null", handmade(HEADER, said(CLAIMS, name, None)), "time-unusable")

# ---- who
attack("no subject", token(sub=None), "claim-missing")
attack("subject null", handmade(HEADER, said(CLAIMS, "sub", None)), "claim-missing")
for sub in [
    "",
    7,
    True,
    ["ada"],
    {"ada": 1},
    "a" * 129,
    "ada\nrequest: status=200",
    'ada","status":"200',
    "a\\",
]:
    attack(f"subject {str(sub)[:12]!r} {type(sub).__name__}", token(sub=sub), "subject-unusable")
attack("an application that is a list", token(azp=["console"]), "application-unusable")
attack("a token id of two lines", token(jti="1\n2"), "token-id-unusable")

# ---- what it may do: only what the roles claim says in so many words
ROLES: list[Any] = [
    "Fleet.Adminx", "xFleet.Admin", "Fleet.Reader,Fleet.Admin", '["Fleet.Admin"]', "fleet.admin", "Fleet.",
    "Fleet.Admin:", ["Fleet.Admin:line 3"], "Fleet.Admin:*", "Fleet.Admin:" + "g" * 129, "Fleet.Admin;", "",
    ["fleet.admin"], ["Fleet.Reader"], ["Fleet.Operator"], [["Fleet.Admin"]], [{"Fleet.Admin": True}],
    [{"role": "Fleet.Admin"}], ["Fleet.Admin\u0000"], [" Fleet.Admin"], ["Fleet.Reader Fleet.Admin"], [],
    ["Fleet.Reader\nFleet.Admin"], ["Ｆleet.Admin"], {"Fleet.Admin": True}, {"roles": ["Fleet.Admin"]},
    7, 4, True, 1e9, ["4"], [4], [None], [True], "*", ["*"], ["Fleet.*"], ["ADMIN"], ["Role.ADMIN"],
]  # fmt: skip
for roles in ROLES:
    attack(f"roles {str(roles)[:40]!r} {type(roles).__name__}", token(roles=roles), "role-missing")
attack("roles null", handmade(HEADER, said(CLAIMS, "roles", None)), "role-missing")
attack("no roles", token(roles=None), "role-missing")
for elsewhere in ("scp", "scope", "groups", "wids", "role", "Roles", "realm_access", "permissions"):
    misplaced: dict[str, Any] = {"roles": None, elsewhere: ["Fleet.Admin"]}
    attack(f"roles said as {elsewhere}", token(KEY, header=None, **misplaced), "role-missing")
attack("scp beside a lesser role", token(roles=["Fleet.Reader"], scp="Fleet.Admin"), "role-missing")
attack(
    "more roles than can be passed on",
    token(roles=[f"Fleet.Admin:{i:0>100}" for i in range(60)]),
    "too-many-roles",
)

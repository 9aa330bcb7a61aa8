"""Attacks on the form: of the JSON, the token, the signature, the header that carries it."""

import base64
import json
import zlib
from typing import Any

from cloud.auth.tokens import TOKEN_MAX_BYTES
from tests.cloud.auth.attacks.attack import ATTACKS, HONEST, MODULUS, Attack, H, P, S, attack, header
from tests.support.cloud.tokens import CLAIMS, HEADER, KEY, NOW, b64, handmade, token

# ---- one text, one meaning
HEAD, BODY = json.dumps(HEADER).encode(), json.dumps(CLAIMS).encode()
OPEN = BODY[:-1]
TWICE = {
    "alg twice": (b'{"alg": "none", "alg": "RS256", "kid": "k1"}', BODY),
    "kid twice": (b'{"alg": "RS256", "kid": "x", "kid": "k1"}', BODY),
    "exp twice": (HEAD, OPEN + b', "exp": 4000000000}'),
    "iss twice": (HEAD, b'{"iss": "https://evil.test", ' + json.dumps(CLAIMS)[1:].encode()),
    "roles twice": (HEAD, OPEN + b', "roles": ["Fleet.Admin"]}'),
    "roles twice, escaped": (
        HEAD, OPEN + b', "\\u0072oles": ["Fleet.Admin"]}'
    ),
    "deep inside": (HEAD, OPEN + b', "x": {"a": 1, "a": 2}}'),
    "more after the claims": (HEAD, BODY + b"{}"),
    "UTF-16": (HEAD, json.dumps(CLAIMS).encode("utf-16")),
    "a byte order mark": (HEAD, b"\xef\xbb\xbf" + BODY),
    "no UTF-8": (HEAD, BODY.replace(b"ada", b"\xff")),
    "a lone surrogate": (HEAD, BODY.replace(b"ada", b"\\ud800")),
    "single quotes": (HEAD, json.dumps(CLAIMS).replace('"', "'").encode()),
    "digits without end": (HEAD, b'{"x": ' + b"9" * 5_000 + b"}"),
    "claims that are a list": (HEAD, b"[]"),
    "claims that are null": (HEAD, b"null"),
    "a header that is a list": (b"[]", BODY),
    "a header that is nothing": (b"{}", BODY),
    "claims nested beyond reason": (HEAD, b"[" * 6_500),
    "a header nested beyond reason": (b"[" * 6_500, BODY),
}  # fmt: skip
for name, (head, body) in TWICE.items():
    code = "algorithm-not-allowed" if name == "a header that is nothing" else "malformed"
    attack(name, handmade(head, body), code)

# ---- the form of the token, to the last character
SHAPES: dict[str, str] = {
    "nothing": "", "a dot": ".", "two dots": "..", "three dots": "...", "a word": "hello",
    "not base64": "a.b.c",
    "another dot": f"{HONEST}.", "a dot before": f".{HONEST}", "five parts": f"{HONEST}.a.b",
    "a second token": f"{HONEST}.{HONEST}", "a space inside": f"{H}. {P}.{S}", "a tab": f"{HONEST}\t",
    "a newline": f"{HONEST}\n", "a null": f"{HONEST}\x00", "padding": f"{HONEST}==",
    "padding inside": f"{H}=.{P}.{S}",
    "ordinary base64": f"{H}.{P}.{S[:-4]}+/+/", "percent encoding": f"{H}%2E{P}%2E{S}", "letters": "é.é.é",
    "a wide dot": HONEST.replace(".", "．"), "JSON form": json.dumps({"protected": H, "payload": P,
    "signature": S}),
    "quotes": f'"{HONEST}"', "an odd length": f"{H}.{P}.{S}aaa", "no claims": f"{H}..{S}",
    "no header": f".{P}.{S}",
    "no signature": f"{H}.{P}.", "ignored characters": f"{H}.{P}.{S[:9]}!!{S[9:]}",
}  # fmt: skip
for name, shape in SHAPES.items():
    ATTACKS[f"form: {name}"] = Attack({"authorization": f"Bearer {shape}"}, "")
_LAST = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
attack("a second spelling of the signature", HONEST[:-1] + _LAST[_LAST.index(S[-1]) + 1], "malformed")
RAW = base64.urlsafe_b64decode(S + "==")
for name, signature in {
    "stripped but for a byte": RAW[:1], "a byte short": RAW[:-1], "cut in half": RAW[:128],
    "with a byte after it": RAW + b"\0", "with a byte before it": b"\0" + RAW, "twice": RAW + RAW,
    "zeros": bytes(256), "ones": b"\xff" * 256, "one": bytes(255) + b"\1", "backwards": RAW[::-1],
    "the modulus": MODULUS,
    "the same, larger by the modulus": (
        int.from_bytes(RAW) + int.from_bytes(MODULUS)
    ).to_bytes(257),
}.items():  # fmt: skip
    attack(f"signature {name}", f"{H}.{P}.{b64(signature)}", "signature-wrong")
attack("a changed claim", f"{H}.{b64(json.dumps(CLAIMS | {'sub': 'eve'}).encode())}.{S}", "signature-wrong")
attack("a changed header", f"{b64(json.dumps({**HEADER, 'x': 1}).encode())}.{P}.{S}", "signature-wrong")
attack("another token's signature", f"{H}.{P}.{token(sub='bob').rpartition('.')[2]}", "signature-wrong")
attack("oversized", token(padding="x" * 20_000), "too-large")
attack("a byte over the gateway's bound", HONEST + "A" * (TOKEN_MAX_BYTES + 1 - len(HONEST)), "too-large")

# ---- other forms than ours, and other tokens than access tokens
attack("crit", token(header={"crit": ["exp"], "exp": NOW + 600}), "form-unknown")
attack("crit of nothing", token(header={"crit": []}), "form-unknown")
attack("b64 false", token(header={"b64": False, "crit": ["b64"]}), "form-unknown")
attack("b64 false, not critical", token(header={"b64": False}), "form-unknown")
attack("b64 true", token(header={"b64": True}), "form-unknown")
attack(
    "claims as they are, b64 false",
    f"{b64(json.dumps({**HEADER, 'b64': False, 'crit': ['b64']}).encode())}..{S}", "malformed",
)  # fmt: skip
attack("zip", handmade(header(zip="DEF"), zlib.compress(BODY)), "malformed")
attack("zip said of plain claims", token(header={"zip": "DEF"}), "form-unknown")
attack("encrypted", token(header={"enc": "A256GCM"}), "form-unknown")
attack("a token in a token", token(header={"cty": "JWT"}), "form-unknown")
for typ in (
    "id_token+jwt",
    "logout+jwt",
    "dpop+jwt",
    "secevent+jwt",
    "JWE",
    "",
    7,
    ["JWT"],
    "token-introspection+jwt",
):
    attack(f"typ {typ!r}", token(header={"typ": typ}), "not-an-access-token", token(header={"typ": "at+jwt"}))
for member in ("nonce", "at_hash", "c_hash"):
    attack(f"an ID token with {member}", token(KEY, header=None, **{member: "n-0S6"}), "not-an-access-token")

# ---- the header that carries it
HEADERS: dict[str, dict[str, Any]] = {
    "none at all": {},
    "null": {"authorization": None},
    "a list": {"authorization": [f"Bearer {HONEST}"]},
    "empty": {"authorization": ""},
    "no scheme": {"authorization": HONEST},
    "Bearer and nothing": {"authorization": "Bearer"},
    "Bearer and a space": {"authorization": "Bearer "},
    "Basic": {"authorization": f"Basic {HONEST}"},
    "Basic, encoded": {"authorization": "Basic " + base64.b64encode(f"x:{HONEST}".encode()).decode()},
    "DPoP": {"authorization": f"DPoP {HONEST}"},
    "Bearers": {"authorization": f"Bearers {HONEST}"},
    "Bearer:": {"authorization": f"Bearer: {HONEST}"},
    "Bearer twice": {"authorization": f"Bearer Bearer {HONEST}"},
    "Bearer=": {"authorization": f"Bearer={HONEST}"},
    "no space": {"authorization": f"Bearer{HONEST}"},
    "a tab": {"authorization": f"Bearer\t{HONEST}"},
    "a space before": {"authorization": f" Bearer {HONEST}"},
    "a space after": {"authorization": f"Bearer {HONEST} "},
    "a newline": {"authorization": f"Bearer\n{HONEST}"},
    "a wide space": {"authorization": f"Bearer\u00a0{HONEST}"},
    "a dotless i, folded": {"authorization": f"Bearer\u017f {HONEST}"},
    "parameters": {"authorization": f'Bearer {HONEST}, realm="x"'},
    "two, as the gateway joins them": {"authorization": f"Bearer {HONEST},Bearer {HONEST}"},
    "two, an honest one after": {"authorization": f"Basic eDp5, Bearer {HONEST}"},
    "two, differently spelt": {"authorization": f"Bearer {HONEST}", "Authorization": f"Bearer {HONEST}"},
    "another header": {"x-authorization": f"Bearer {HONEST}"},
    "a cookie": {"cookie": f"access_token={HONEST}"},
}
for name, headers in HEADERS.items():
    ATTACKS[f"header: {name}"] = Attack(headers, "")

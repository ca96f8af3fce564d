"""Secrets go, everything else stays, whatever the input."""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from bedplate.telemetry.redaction import REDACTED, Redactor

HIDDEN = "s3cr3t-Value"


@pytest.mark.parametrize(
    "key",
    [
        "password", "Password", "user_password", "passwd", "pwd", "access_token", "accessToken", "refresh-token",
        "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "secret", "client_secret", "api_key", "API-Key",
        "X-Api-Key", "apikey", "private_key", "credentials", "cvv", "pin", "otp", "dsn", "card_number", "session_id",
        "tokens", "passphrase",
    ],
)  # fmt: skip
def test_values_under_secret_keys_are_replaced_at_any_depth(key: str) -> None:
    value = {"outer": [{"inner": {key: HIDDEN, "harmless": "kept"}}]}
    cleaned = Redactor().value(value)
    assert cleaned == {"outer": [{"inner": {key: REDACTED, "harmless": "kept"}}]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_tokens", 1000), ("tokens", 12), ("password_changed", True), ("password", None), ("token_count", 3),
        ("token_type", "bearer"), ("cookie_count", 4), ("author", "Ada"), ("passenger", "Bo"), ("keyboard", "qwertz"),
        ("pan_european", "yes"), ("spinning", "fast"), ("secret_name", "db"), ("company", "ACME"),
    ],
)  # fmt: skip
def test_what_only_sounds_secret_stays(key: str, value: Any) -> None:
    assert Redactor().value({key: value}) == {key: value}


def test_numbers_are_secret_where_they_cannot_be_counts() -> None:
    keys = ("cvv", "pin", "otp", "password", "client_secret")
    assert Redactor().value(dict.fromkeys(keys, 1234)) == dict.fromkeys(keys, REDACTED)
    assert Redactor().text("password=1234 pin: 12 tokens=12") == f"password={REDACTED} pin: {REDACTED} tokens=12"


def test_further_keys_may_be_named() -> None:
    redactor = Redactor(keys=["iban"])
    redactor.add_key("tax id")
    assert redactor.value({"customer_iban": HIDDEN, "TaxId": HIDDEN}) == {"customer_iban": REDACTED, "TaxId": REDACTED}
    assert HIDDEN not in redactor.text(f"iban={HIDDEN}")


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {HIDDEN}", f"authorization=Basic {HIDDEN} trailing {HIDDEN}", f"got bearer {HIDDEN}",
        "Basic dXNlcjpzM2NyM3QtVmFsdWU=", f"password={HIDDEN}", f"password = '{HIDDEN} {HIDDEN}'",
        f'{{"password": "{HIDDEN}", "a": 1}}', f'{{\\"token\\": \\"{HIDDEN}\\"}}',
        f"/callback?code=1&token={HIDDEN}&x=2",
        f"redis://:{HIDDEN}@cache:6379/0", f"postgresql://ledger:{HIDDEN}@db/ledger", f"amqp://u:{HIDDEN}@q@host/",
        f"ValueError: secret={HIDDEN}", f"X-Api-Key: {HIDDEN}", f"--db-password={HIDDEN}", f"PGPASSWORD={HIDDEN} psql",
        f"Cookie: a=1; session={HIDDEN}; b=2", f"{{'api_key': '{HIDDEN}'}}", f'password="{HIDDEN}',
    ],
)  # fmt: skip
def test_secrets_in_text_are_replaced(text: str) -> None:
    cleaned = Redactor().text(text)
    assert HIDDEN not in cleaned
    assert "dXNlcjpzM2NyM3QtVmFsdWU" not in cleaned
    assert REDACTED in cleaned


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "xoxb-" + "1234567890-" * 2 + "abcdefghijklmnopqrstuvwx",
        "sk_live_" + "x9Y8" * 6, "glpat-" + "abcDEF1234567890xyzZ",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAabcdefghijklmnopqrstuvwxyz\n-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_tokens_are_known_by_their_form(token: str) -> None:
    cleaned = Redactor().text(f"before {token} after")
    assert cleaned == f"before {REDACTED} after"


@pytest.mark.parametrize(
    "text",
    [
        "GET /reports: 200 in 12.3 ms", "user 42 synced 17 transactions from alpha", "basic information is missing",
        "bearer token is missing", "see https://host:8080/path@v2", "trace 4bf92f3577b34da6a3ce929d0e0e4736 is kept",
        "password: None", "token=12", "2026-11-22 10:53:50 to 2026-11-23", "id 0193d7a1-6f3c-7c2e-8a51-0242ac120002",
        "key: value", "Ä 北京 ok",
    ],
)  # fmt: skip
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


def test_known_secrets_are_replaced_wherever_they_are() -> None:
    redactor = Redactor(secrets=["hunter2", "hunter2-longer", "with space/slash"])
    assert redactor.text("is hunter2-longer or hunter2 right?") == f"is {REDACTED} or {REDACTED} right?"
    assert redactor.text("?q=with%20space/slash&r=with%20space%2Fslash") == f"?q={REDACTED}&r={REDACTED}"
    assert redactor.value({"note": "my hunter2!"}) == {"note": f"my {REDACTED}!"}


def test_secrets_that_are_too_short_are_not_taken() -> None:
    redactor = Redactor()
    assert redactor.add_secret("dev") is False
    assert redactor.text("development") == "development"


def test_long_text_is_cut_and_says_by_how_much() -> None:
    cleaned = Redactor(limit=100).text("x" * 150)
    assert cleaned == "x" * 100 + "… [50 characters cut]"


def test_a_secret_across_the_cut_is_not_shown_by_halves() -> None:
    text = "x" * 90 + " 4111111111111111" + "y" * 100
    assert "41111111" not in Redactor(limit=100).text(text)


def test_control_characters_beyond_ascii_are_shown_not_sent() -> None:
    assert Redactor().text("é\x9b31m\u2028\u202e") == "é\\u009b31m\\u2028\\u202e"


def test_lone_surrogates_become_text_that_can_be_encoded() -> None:
    assert Redactor().text("a\ud800b").encode()


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Login:
    user: str
    password: str


class Card(BaseModel):
    holder: str
    number: str
    pin: SecretStr


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def test_any_value_becomes_json() -> None:
    value = {
        "decimal": Decimal("1.50"), "uuid": UUID(int=1), "at": datetime(2026, 1, 2, tzinfo=UTC), "path": Path("/a/b"),
        "enum": Colour.RED, "bytes": b"raw", "set": {1}, "tuple": (1, 2), "login": Login("ada", HIDDEN),
        "model": Card(holder="Ada", number="4111111111111111", pin=SecretStr("1234")), "error": ValueError("bad"),
        "hostile": Hostile(), "big": 2**70, 7: "number key",
    }  # fmt: skip
    cleaned = Redactor().value(value)
    assert orjson.loads(orjson.dumps(cleaned)) == {
        "decimal": "1.50", "uuid": "00000000-0000-0000-0000-000000000001", "at": "2026-01-02T00:00:00+00:00",
        "path": "/a/b", "enum": "red", "bytes": "raw", "set": [1], "tuple": [1, 2],
        "login": {"user": "ada", "password": REDACTED},
        "model": {"holder": "Ada", "number": "************1111", "pin": REDACTED}, "error": "ValueError: bad",
        "hostile": "<Hostile without text>", "big": "1180591620717411303424", "7": "number key",
    }  # fmt: skip


def test_values_are_bounded_in_depth_number_and_size() -> None:
    nested: Any = "deep"
    for _ in range(50):
        nested = {"next": nested}
    loop: list[Any] = []
    loop.append(loop)
    redactor = Redactor(items=100, characters=1_000)
    cleaned = redactor.value({"nested": nested, "loop": loop})
    assert len(orjson.dumps(cleaned)) < 500
    assert len(redactor.value(list(range(1_000)))) == 101
    assert redactor.value(list(range(1_000)))[-1] == "… 900 more"
    assert len(redactor.value({str(i): i for i in range(1_000)})) == 101
    assert len(orjson.dumps(redactor.value(["y" * 400] * 50))) < 4_000


def test_integers_that_are_card_numbers_are_masked_and_others_are_not() -> None:
    assert Redactor().value([4111111111111111, 1763808830123456789, 12]) == [
        "************1111", 1763808830123456789, 12,
    ]  # fmt: skip


def test_headers_become_a_mapping_without_secrets() -> None:
    headers = [(b"authorization", b"Bearer abc"), (b"accept", b"*/*")]
    assert Redactor().headers(headers) == {"authorization": REDACTED, "accept": "*/*"}


def test_what_was_replaced_is_counted_by_kind() -> None:
    redactor = Redactor(secrets=["hunter2"])
    redactor.value({"password": "x", "a": "hunter2", "b": "see 4111 1111 1111 1111", "c": "Bearer abcdef123"})
    assert redactor.counts == {"key": 1, "secret": 1, "pattern": 1, "card": 1}


@pytest.mark.parametrize(
    "text",
    [
        "a" * 20_000, "a=" * 10_000, 'a="' * 7_000, "password=" * 2_000, "://" * 7_000, "4111 " * 4_000, "1 " * 10_000,
        "eyJa." * 4_000, "bearer " * 3_000, "-----BEGIN PRIVATE KEY-----" * 800, "authorization:" * 1_500,
        "password'\"=" * 2_000, "token=" + "(" * 20_000, "Basic " + "a" * 20_000, ("x" * 63 + ".") * 300 + "=",
        "4" * 20_000, "://u:" + "p" * 20_000, "cookie: " + " =" * 9_000, "sk-" * 7_000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
@pytest.mark.timeout(10)  # a pattern that backtracks takes minutes
def test_hostile_text_takes_linear_time(text: str) -> None:
    assert len(Redactor(limit=50_000).text(text)) <= 2 * len(text)


@given(st.text(max_size=400))
def test_any_text_is_taken(text: str) -> None:
    assert Redactor().text(text).encode() is not None


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip  # noqa: E501
def test_any_json_like_value_is_taken(value: Any) -> None:
    orjson.dumps(Redactor().value(value))


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60), st.text(max_size=60))
def test_a_known_secret_never_shows(before: str, after: str) -> None:
    redactor = Redactor(secrets=[HIDDEN])
    assert HIDDEN not in redactor.text(before + HIDDEN + after)

from __future__ import annotations

from typing import Any

import pytest

from bedplate.state.limits import by_client, by_header
from tests.unit.telemetry.http.wire import scope_of


def scope(client: str | None, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return scope_of(headers=headers, client=(client, 1) if client is not None else None)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("a:b", "a:b"),
        (None, ""),
    ],
)
def test_clients_are_counted_by_what_one_of_them_is_given(address: str | None, key: str) -> None:
    counted = by_client()
    assert counted(scope(address)) == counted(scope(address)) == key


def test_strangers_cannot_choose_their_key() -> None:
    forwarded = (b"x-forwarded-for", b"1.2.3.4")
    assert by_client()(scope("198.51.100.7", forwarded)) == "198.51.100.7"
    assert by_client(["10.0.0.0/8"])(scope("198.51.100.7", forwarded)) == "198.51.100.7"
    assert by_client(["10.0.0.0/8"])(scope("10.0.0.1", forwarded)) == "1.2.3.4"


def test_a_header_counts_and_else_the_client() -> None:
    key = by_header("X-API-Key")
    assert key(scope("198.51.100.7", (b"x-api-key", b"k1"))) == "header:k1"
    assert key(scope("198.51.100.7")) == "198.51.100.7"
    assert by_header("X-API-Key", lambda scope: None)(scope("198.51.100.7")) is None
    # A key cannot pass for somebody's address.
    assert key(scope("198.51.100.7", (b"x-api-key", b"203.0.113.1"))) != "203.0.113.1"

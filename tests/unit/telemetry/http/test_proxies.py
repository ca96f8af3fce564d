from __future__ import annotations

import pytest

from bedplate.telemetry.http import TrustedProxies
from tests.unit.telemetry.http.wire import scope_of


def client(proxies: TrustedProxies, peer: str | None, *forwarded: str) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return proxies.client(scope_of(headers=headers, client=(peer, 1) if peer is not None else None))


def test_strangers_cannot_choose_their_address() -> None:
    assert client(TrustedProxies(), "198.51.100.1", "1.2.3.4") == "198.51.100.1"
    assert client(TrustedProxies(["10.0.0.0/8"]), "198.51.100.1", "1.2.3.4") == "198.51.100.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([], "10.0.0.1"),
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.9.9.9"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (["1.2.3.4:5678"], "1.2.3.4"),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["2001:DB8::1"], "2001:db8::1"),
        (["1.2.3.4, nonsense"], "10.0.0.1"),
        (["1.2.3.4, "], "10.0.0.1"),
        (['<script>"'], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_vouches_for_the_last_stranger(forwarded: list[str], expected: str) -> None:
    assert client(TrustedProxies(["10.0.0.0/8"]), "10.0.0.1", *forwarded) == expected


def test_a_unix_socket_is_trusted_when_told_so() -> None:
    assert client(TrustedProxies(["unix"]), None, "1.2.3.4") == "1.2.3.4"
    assert client(TrustedProxies(["10.0.0.0/8"]), None, "1.2.3.4") == ""


def test_ipv4_peers_on_an_ipv6_socket_are_known() -> None:
    assert client(TrustedProxies(["10.0.0.0/8"]), "::ffff:10.0.0.1", "1.2.3.4") == "1.2.3.4"


def test_a_peer_that_is_no_address_is_shown_as_it_is() -> None:
    assert client(TrustedProxies(["10.0.0.0/8"]), "testclient", "1.2.3.4") == "testclient"


def test_memory_of_peers_is_bounded() -> None:
    proxies = TrustedProxies(["10.0.0.0/8"])
    for number in range(10_000):
        client(proxies, f"1.2.{number // 256}.{number % 256}")
    assert len(proxies._trusted) <= 4096

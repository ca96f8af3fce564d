"""Addresses: what redis-py makes of a URL, so do we, and what it lets pass we refuse."""

from __future__ import annotations

import ssl
import sys
from typing import Any

import pytest
from redis.asyncio.connection import parse_url

from bedplate.problems import BedplateError
from bedplate.state.redis.address import address


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://cache:7000/3",
        "redis://user:pass@cache:7000/3",
        "redis://:p%40ss%2F%23@cache/0",
        "redis://user@[::1]:6380/0",
        "redis://cache?db=4",
        "redis://cache/2?db=4",
        "rediss://cache:6380/1",
        "unix:///var/run/redis.sock?db=2",
        "unix://user:secret@/var/run/my%20redis.sock",
    ],
)
def test_it_is_read_as_redis_py_reads_it(url: str) -> None:
    theirs: dict[str, Any] = dict(parse_url(url))
    theirs.pop("connection_class", None)
    topology, ours = address(url)
    assert topology == "single"
    assert {name: getattr(ours, name) for name in theirs} == theirs
    assert (ours.tls is not None) == url.startswith("rediss")
    assert "pass" not in ours.shown and "secret" not in repr(ours) + ours.shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache/zero",
        "redis://cache:port/0",
        "redis://cache?db=x",
        "unix://",
        "redis://cache?socket_timeout=1",
        "rediss://cache?ssl_cert_reqs=maybe",
        "rediss://cache?ssl_check_hostname=perhaps",
        "http://cache",
        "redis+ring://cache",
    ],
)
def test_what_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(BedplateError) as refused:
        address(url)
    assert refused.value.mend


def test_tls_is_strict_unless_it_is_told_otherwise() -> None:
    def context(options: str = "") -> ssl.SSLContext:
        found = address(f"rediss://cache{options}")[1].context()
        assert found is not None
        return found

    strict, loose = context(), context("?ssl_cert_reqs=none")
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (loose.check_hostname, loose.verify_mode) == (False, ssl.CERT_NONE)
    assert not context("?ssl_check_hostname=No").check_hostname
    with pytest.raises(OSError):
        context("?ssl_ca_certs=/nowhere")
    assert address("redis://cache")[1].context() is None


def test_it_says_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)
    with pytest.raises(BedplateError, match="redis"):
        address("redis://cache")

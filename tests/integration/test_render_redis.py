"""The rendered configuration of Redis: really started, looked at, attacked, killed and failed over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError
from redis.retry import Retry

from bedplate.render import Container, Subject
from bedplate.render.redis import ENVIRONMENTS, redis_files
from bedplate.service import Service
from bedplate.state.memory import Memory
from bedplate.state.redis import Redis
from bedplate.state.store import Operation, StoreError
from bedplate.testing import running, settings
from tests.redis import free_port, program, until
from tests.rendering import shop
from tests.stores import RealClock

PASSWORDS = {"redis-password": "of-shop", "redis-admin-password": "of-people", "redis-replication-password": "of-both"}
SUBJECT = Subject(name="shop", specs=(Memory().spec,), container=Container(name="shop", target="shop:build"))
PUT = Operation(name="put", script="return redis.call('SET', KEYS[1], ARGV[1])", memory=lambda *_: None)
GET = Operation(name="get", command=("GET",), memory=lambda *_: None, reads=True)


class Started:
    """A server that the rendered script has started."""

    def __init__(self, top: Path, environment: str, role: str, kind: Any = "redis7", primary: str = "") -> None:
        self.port = free_port()
        self.data = Path(tempfile.mkdtemp(dir=top))
        self._command = ["sh", str(top / "redis/shop/start"), environment, role]
        self._environ = {
            **os.environ,
            "DATA": str(self.data),
            "SECRETS": str(top / "secrets"),
            "PORT": str(self.port),
            "ANNOUNCE": "127.0.0.1",
            "PRIMARY": primary,
            "REDIS_SERVER": program(kind),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.data / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environ, stdout=log, stderr=log)

        def answers() -> Any:
            assert self._process is not None
            assert self._process.poll() is None, (self.data / "log").read_text()
            return self.call("PING")

        until(answers, "it answers")

    def call(self, *words: Any, user: str = "admin", password: str = "of-people") -> Any:
        with Client(
            port=self.port, username=user, password=password, socket_timeout=5, decode_responses=True, protocol=3
        ) as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def setting(self, name: str) -> str:
        return str(self.call("CONFIG", "GET", name)[name])


@pytest.fixture(scope="module")
def top() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bedplate-render-redis-") as folder:
        made = Path(folder)
        for path, text in redis_files(SUBJECT).items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text)
        (made / "secrets").mkdir()
        for name, password in PASSWORDS.items():
            (made / "secrets" / name).write_text(password)
        yield made


@contextmanager
def _started(top: Path, *arguments: Any, **options: Any) -> Iterator[Started]:
    made = Started(top, *arguments, **options)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def test_who_shares_no_state_gets_no_redis() -> None:
    assert redis_files(shop()) == {}


@pytest.mark.parametrize("role", ["cache", "state"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_server_starts_with_what_its_role_needs(top: Path, environment: str, role: str) -> None:
    kind = "valkey9" if environment == "staging" else "redis7"
    with _started(top, environment, role, kind) as server:
        assert server.setting("maxmemory-policy") == ("allkeys-lru" if role == "cache" else "noeviction")
        expected = {"development": 256 * 2**20, "staging": 2 * 2**30, "production": 8 * 2**30}[environment]
        assert int(server.setting("maxmemory")) == expected
        assert server.setting("appendonly") == "yes"
        assert server.setting("save") == "3600 1 300 100 60 10000"
        assert int(server.setting("slowlog-log-slower-than")) > 0
        assert server.setting("enable-debug-command") == "no"


@pytest.mark.parametrize(
    "words",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "CONFIG GET *",
        "CONFIG SET maxmemory 1",
        "SHUTDOWN NOSAVE",
        "REPLICAOF NO ONE",
        "MONITOR",
        "SAVE",
        "ACL LIST",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "CLIENT KILL TYPE normal",
        "MODULE LIST",
        "SWAPDB 0 1",
        "MIGRATE 127.0.0.1 1 a 0 1",
    ],
)
def test_a_service_may_do_nothing_that_harms_others(guarded: Started, words: str) -> None:
    with pytest.raises(NoPermissionError):
        guarded.call(*words.split(), user="shop", password="of-shop")


@pytest.fixture(scope="module")
def guarded(top: Path) -> Iterator[Started]:
    with _started(top, "production", "state") as server:
        yield server


def test_nobody_comes_in_without_a_name_and_no_password_lies_open(guarded: Started) -> None:
    client = Client(port=guarded.port, protocol=2, retry=Retry(NoBackoff(), 0))
    with client, pytest.raises(RedisError, match=r"NOAUTH|Authentication"):
        client.execute_command("GET", "a")
    assert guarded.call("SET", "a", "1")
    users = (guarded.data / "users.acl").read_text()
    assert not any(password in users for password in PASSWORDS.values())
    assert (guarded.data / "redis.conf").stat().st_mode & 0o077 == 0


async def test_a_store_works_with_the_rights_of_a_service(guarded: Started) -> None:
    redis = Redis(f"redis://shop:of-shop@127.0.0.1:{guarded.port}/0")
    heard: list[bytes] = []
    told: list[Any] = []
    service = Service("shop", None, [redis], settings=settings())
    async with running(service, clock=RealClock()) as harness:
        await redis.listen("news", heard.append).ready()
        redis.track("a", told.append)
        assert await redis.run(PUT, ["a"], [1]) == b"OK"
        assert await redis.run(GET, ["a"]) == b"1"
        await redis.run(PUT, ["a"], [2])
        await redis.publish("news", b"x")
        await harness.eventually(lambda: heard == [b"x"] and ["a"] in told)
        assert redis.servers[0].policy == "noeviction"
        assert not any(view.reason for view in harness.service.views if view.component is redis)


def test_what_was_written_outlives_a_kill(top: Path) -> None:
    with _started(top, "development", "cache") as server:
        server.call("SET", "a", "1")
        server.kill()
        server.start()
        assert server.call("GET", "a") == "1"


async def test_sentinels_replace_a_dead_primary_and_take_it_back_as_a_replica(top: Path) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(_started(top, "development", "state"))
        where = f"127.0.0.1 {one.port}"
        other = stack.enter_context(_started(top, "development", "state", primary=where))
        watchers = [stack.enter_context(_started(top, "development", "sentinel", primary=where)) for _ in range(3)]
        for watcher in watchers:
            watcher.call("SENTINEL", "SET", "state", "down-after-milliseconds", 400, "failover-timeout", 1000)
            watcher.call("SENTINEL", "DEBUG", "INFO-PERIOD", 300, "PUBLISH-PERIOD", 600, "PING-PERIOD", 400)
        for watcher in watchers:
            await asyncio.to_thread(until, lambda watcher=watcher: _knows_all(watcher), "a Sentinel knows all")
        hosts = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        redis = Redis(
            f"redis+sentinel://shop:of-shop@{hosts}/state/0?sentinel_username=default&sentinel_password=of-shop"
        )
        service = Service("shop", None, [redis], settings=settings())
        async with running(service, clock=RealClock()):
            assert await redis.run(PUT, ["a"], [1]) == b"OK"
            one.kill()
            await _written(redis, 2)
            assert other.call("GET", "a") == "2"
            one.start()
            await asyncio.to_thread(until, lambda: _follows(one, other), "the old primary follows")
            # It remembers whom it follows, also where nobody tells it.
            for watcher in watchers:
                watcher.kill()
            one.kill()
            one.start()
            await asyncio.to_thread(until, lambda: _follows(one, other), "it follows again")


def _knows_all(watcher: Started) -> bool:
    told = watcher.call("SENTINEL", "MASTER", "state")
    return (int(told["num-other-sentinels"]), int(told["num-slaves"])) == (2, 1)


def _follows(one: Started, other: Started) -> bool:
    role = one.call("ROLE")
    return role[0] == "slave" and int(role[2]) == other.port and role[3] == "connected"


async def _written(redis: Redis, value: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await redis.run(PUT, ["a"], [value])
            except StoreError:
                await asyncio.sleep(0.05)
            else:
                return

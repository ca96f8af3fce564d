"""Real servers judge the store in the process: random commands get the same replies from both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from bedplate.state.memory import Keyspace
from bedplate.state.store import Call, StoreReplyError
from tests.redis import Servers
from tests.stores import Backend

from .command import Command
from .commands import commands


class Judge:
    """A started store on a real server, asked from code that does not wait."""

    def __init__(self, backend: Backend, runner: asyncio.Runner) -> None:
        self.backend, self._runner = backend, runner
        self._running = backend.running()
        runner.run(self._running.__aenter__())

    def replies(self, given: list[Command]) -> list[Any]:
        """Return what an empty server says to commands, a refusal as its code."""
        self.backend.servers.server(self.backend.kind)  # type: ignore[arg-type]  # empties it
        calls = [Call(command.operation, command.keys, command.args) for command in given]

        async def ask() -> list[Any]:
            return await self.backend.store.run_many(calls)

        said = self._runner.run(ask())
        return [
            reply.code if isinstance(reply, StoreReplyError) else command.read(reply)
            for command, reply in zip(given, said, strict=True)
        ]

    def close(self) -> None:
        self._runner.run(self._running.__aexit__(None, None, None))


@pytest.fixture(params=["redis7", "valkey9"])
def judge(request: pytest.FixtureRequest, redis_servers: Servers) -> Iterator[Judge]:
    with asyncio.Runner() as runner:
        made = Judge(Backend(request.param, redis_servers), runner)
        try:
            yield made
        finally:
            made.close()


def in_process(given: list[Command]) -> list[Any]:
    """Return what an empty store in the process says."""
    space = Keyspace()
    replies = []
    for command in given:
        space.begin()
        try:
            replies.append(command.read(command.act(space)))
        except StoreReplyError as error:
            replies.append(error.code)
    return replies


def test_random_commands_get_the_replies_of_a_server(judge: Judge) -> None:
    @settings(max_examples=150)
    @given(commands())
    def agree(given: list[Command]) -> None:
        expected, found = judge.replies(given), in_process(given)
        assert found == expected
        assert list(map(type, found)) == list(map(type, expected))

    agree()

"""The two forms of operations on sessions and idempotency keys, put through the same random sequences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any

from bedplate.state.idempotency import operations as keys
from bedplate.state.memory import Memory
from bedplate.state.sessions import operations as sessions
from bedplate.state.store import Argument, Call, Operation
from tests.stores import Backend

LONG = 10_000_000
_TIME = re.compile(rb"\b1[0-9]{12}\b")
FIELDS = ("a", "b", "c")
DATA = ("{}", '{"a":[]}', '{"é":"\n"}')


def _without_times(value: Any) -> Any:
    """Mask what is a time in ms: the clocks of two stores differ."""
    if isinstance(value, bytes):
        return _TIME.sub(b"T", value)
    if isinstance(value, list):
        return [_without_times(part) for part in value]
    return "T" if isinstance(value, int) and value > 10**12 else value


def _on_sessions(thrown: Random) -> Call:
    key = thrown.choice(("{u}s", "{v}s"))
    field, other = thrown.choice(FIELDS), thrown.choice(FIELDS)
    data = thrown.choice(DATA)
    choices: list[tuple[Operation, Sequence[Argument]]] = [
        (sessions.CREATE, (field, thrown.choice(("", other)), LONG, 2 * LONG, 50, 0, '{"user":"u"}', data)),
        (sessions.LOAD, (field,)),
        (sessions.SAVE, (field, thrown.randrange(1, 4), LONG, data)),
        (sessions.SAVE, (field, 1, LONG, data)),
        (sessions.TOUCH, (field, LONG, thrown.choice(("", other)))),
        (sessions.LIST, ()),
        (sessions.REVOKE, (thrown.choice(("", "channel")), "u", field, other)),
    ]
    if thrown.random() < 0.15:
        before = thrown.choice((0, 5))
        choices = [(sessions.REVOKE_ALL, ("channel", "u", before, thrown.choice(("", field)), LONG))]
    operation, args = thrown.choice(choices)
    return Call(operation, (key,), args)


def _on_keys(thrown: Random) -> Call:
    owner, mark = thrown.choice(FIELDS), thrown.choice(("p", "p", "p", "q"))
    choices: list[tuple[Operation, Sequence[Argument]]] = [
        # A lease of less than nothing has lapsed.
        (keys.BEGIN, (mark, owner, thrown.choice((LONG, -5)), LONG, thrown.choice((0, 1)))),
        (keys.RENEW, (owner, LONG)),
        (keys.RELEASE, (owner,)),
        (keys.FINISH, (mark, owner, thrown.randrange(1, 4), b"\x00\xff", LONG)),
    ]
    if thrown.random() < 0.1:
        choices = [(keys.FORGET, ())]
    operation, args = thrown.choice(choices)
    return Call(operation, (thrown.choice(("{k}1", "{k}2")),), args)


def _comparable(call: Call, reply: Any) -> Any:
    found = _without_times(reply)
    if call.operation is keys.BEGIN and found[0] == keys.RUNNING:
        found[1] = "left"
    if call.operation is sessions.LIST:
        # In which order fields are told is nobody's promise.
        found[1] = sorted(zip(found[1][::2], found[1][1::2], strict=True))
    if call.operation is sessions.REVOKE_ALL:
        found[1] = sorted(found[1])
    return found


async def test_both_forms_do_the_same(shared_backend: Backend) -> None:
    thrown = Random(20261127)
    calls = [_on_sessions(thrown) for _ in range(1500)] + [_on_keys(thrown) for _ in range(1500)]
    memory = Memory()
    async with shared_backend.running(memory):
        # A script that a server does not have yet is sent again, after those that came behind it.
        for operation, key in {(call.operation, call.keys[0]) for call in calls}:
            first = next(call for call in calls if call.operation is operation)
            await shared_backend.store.run(operation, (f"{key}-first",), first.args)
        for start in range(0, len(calls), 100):
            part = calls[start : start + 100]
            theirs, ours = await shared_backend.store.run_many(part), await memory.run_many(part)
            for call, one, other in zip(part, theirs, ours, strict=True):
                assert _comparable(call, one) == _comparable(call, other), call

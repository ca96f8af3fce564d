"""The connection alone: replies matched in order whatever comes in between, deadlines, a heart that beats."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.state.redis.connection import Connection
from bedplate.state.redis.packing import encoded, packer, words
from bedplate.state.redis.slots import ErrorReply, Slot
from bedplate.state.store import Operation

GET = Operation(name="get", command=("GET",), memory=lambda space, keys, args: None, reads=True)
_FAR = 10.0**6


class Wire:
    """The transport that a connection is given: keeps what is written, and says when it is over."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True


class Witness:
    """The owner of a connection, who notes what it is told; and what counts answers."""

    def __init__(self) -> None:
        self.pushes: list[Any] = []
        self.why = ""
        self.lost_slots: tuple[list[Slot], list[Slot]] = ([], [])
        self.silent = -1.0
        self.counted = 0

    def refused(self, slot: Slot, error: ErrorReply) -> None:
        if not slot[0].done():
            slot[0].set_result(f"error {error}")

    def pushed(self, message: Sequence[Any]) -> None:
        self.pushes.append(message[-1])

    def late(self, slots: Sequence[Slot], silent: float) -> None:
        self.silent = silent
        for slot in slots:
            slot[0].set_result("late")

    def moving(self, connection: Connection) -> None:
        self.silent = -1.0

    def lost(self, connection: Connection, sent: Sequence[Slot], unsent: Sequence[Slot], why: str) -> None:
        self.why, self.lost_slots = why, (list(sent), list(unsent))

    def answered(self, count: int, seconds: float) -> None:
        self.counted += count


def _made(quiet: float = _FAR, patience: float = _FAR) -> tuple[Connection, Witness, Wire]:
    witness, wire = Witness(), Wire()
    connection = Connection(witness, quiet=quiet, patience=patience)
    connection.connection_made(wire)  # type: ignore[arg-type]
    return connection, witness, wire


def _say(connection: Connection, witness: Witness, packed: bytes = b"x", seconds: float = _FAR) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    now = asyncio.get_running_loop().time()
    connection.say((future, None, witness, now, now + seconds, GET, ("k",), packed, 0))
    return future


#: What a server may say: a reply to the next call, an error, or something on its own.
_SAYINGS = st.lists(st.sampled_from(["reply", "long", "map", "error", "message", "invalidate"]), max_size=40)


@given(sayings=_SAYINGS, cuts=st.lists(st.integers(1, 30), min_size=1), cancelled=st.sets(st.integers(0, 40)))
def test_replies_come_to_their_callers(sayings: list[str], cuts: list[int], cancelled: set[int]) -> None:
    async def play() -> None:
        connection, witness, _ = _made()
        stream, pushes = b"", 0
        expected: list[Any] = []
        for number, saying in enumerate(sayings):
            match saying:
                case "reply":
                    stream += b"$%d\r\n%d\r\n" % (len(str(number)), number)
                    expected.append(str(number).encode())
                case "long":
                    stream += b"$200\r\n" + str(number).encode().ljust(200) + b"\r\n"
                    expected.append(str(number).encode().ljust(200))
                case "map":
                    stream += b"%%1\r\n+n\r\n:%d\r\n" % number
                    expected.append({b"n": number})
                case "error":
                    stream += b"-ERR %d\r\n" % number
                    expected.append(f"error ERR {number}")
                case "message":
                    stream += b">3\r\n$7\r\nmessage\r\n+c\r\n:%d\r\n" % number
                    pushes += 1
                case _:
                    stream += b">2\r\n$10\r\ninvalidate\r\n*1\r\n+k\r\n"
                    pushes += 1
        futures = [_say(connection, witness) for _ in expected]
        for number in cancelled:
            if number < len(futures):
                futures[number].cancel()
        place, turn = 0, 0
        while place < len(stream):
            size = cuts[turn % len(cuts)]
            connection.data_received(stream[place : place + size])
            place, turn = place + size, turn + 1
        for number, (future, reply) in enumerate(zip(futures, expected, strict=True)):
            assert future.cancelled() if number in cancelled else future.result() == reply
        assert len(witness.pushes) == pushes and not connection.slots
        errors = sum(saying == "error" for saying in sayings)
        assert witness.counted == len(expected) - errors

    asyncio.run(play())


async def test_what_is_asked_in_one_turn_leaves_in_one_write() -> None:
    connection, witness, wire = _made()
    for number in range(3):
        _say(connection, witness, b"%d;" % number)
    assert wire.written == []
    await asyncio.sleep(0)
    assert wire.written == [b"0;1;2;"]


async def test_what_the_server_does_not_read_waits_and_is_known_not_to_have_left() -> None:
    connection, witness, wire = _made()
    _say(connection, witness, b"0;")
    await asyncio.sleep(0)
    connection.pause_writing()
    _say(connection, witness, b"1;")
    _say(connection, witness, b"2;")
    await asyncio.sleep(0)
    assert wire.written == [b"0;"]
    connection.connection_lost(None)
    sent, unsent = witness.lost_slots
    assert [slot[7] for slot in sent] == [b"0;"] and [slot[7] for slot in unsent] == [b"1;", b"2;"]


async def test_what_is_said_after_the_end_is_given_back() -> None:
    connection, witness, _ = _made()
    connection.connection_lost(None)
    _say(connection, witness, b"late")
    assert [slot[7] for slot in witness.lost_slots[1]] == [b"late"]


async def test_it_goes_on_when_the_server_reads_again() -> None:
    connection, witness, wire = _made()
    connection.pause_writing()
    _say(connection, witness, b"1;")
    await asyncio.sleep(0)
    connection.resume_writing()
    assert wire.written == [b"1;"] and connection.unsent == 0


async def test_many_replies_at_once_leave_others_their_turn() -> None:
    connection, witness, _ = _made()
    futures = [_say(connection, witness) for _ in range(2000)]
    connection.data_received(b":7\r\n" * 2000)
    assert not futures[-1].done()  # not all of them in one turn
    assert await asyncio.gather(*futures) == [7] * 2000


async def test_each_deadline_is_kept_and_a_late_reply_shifts_nothing() -> None:
    connection, witness, _ = _made()
    patient = _say(connection, witness, seconds=60)
    hasty = _say(connection, witness, seconds=0.02)
    hastier = _say(connection, witness, seconds=0.01)
    assert [await hastier, await hasty] == ["late", "late"]
    assert (connection.caution, witness.silent > 0, patient.done()) == (True, True, False)
    connection.data_received(b":1\r\n")
    assert (connection.caution, witness.silent) == (False, -1.0)
    after = _say(connection, witness)
    connection.data_received(b":2\r\n:3\r\n:4\r\n")
    assert (patient.result(), after.result()) == (1, 4)


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"+hello\r\n", "nobody asked"), (b"HTTP/1.1 400 Bad Request\r\n", "does not speak RESP")],
    ids=["unasked", "garbled"],
)
async def test_a_server_out_of_step_is_left(said: bytes, why: str) -> None:
    connection, witness, wire = _made()
    connection.data_received(said)
    assert wire.aborted and why in witness.why


async def test_a_callback_that_fails_costs_nobody_else_a_reply() -> None:
    connection, witness, _ = _made()
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))

    def parsed(reply: Any) -> None:
        raise RuntimeError("mine")

    first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.say((first, parsed, witness, 0.0, _FAR * 10, GET, (), b"x", 0))
    second = _say(connection, witness)
    connection.data_received(b":1\r\n:2\r\n")
    assert (first.result(), second.result(), len(told)) == (1, 2, 1)


async def test_a_quiet_server_is_asked_and_left_when_it_does_not_answer() -> None:
    connection, witness, wire = _made(quiet=0.02, patience=0.05)
    while not wire.written:
        await asyncio.sleep(0.001)
    assert b"PING" in wire.written[0]
    token = wire.written[0].split(b"\r\n")[4]
    connection.data_received(b"$%d\r\n%b\r\n" % (len(token), token))
    assert not connection.slots
    while not wire.aborted:
        await asyncio.sleep(0.001)
    assert "has not answered" in witness.why


async def test_a_wrong_answer_to_the_question_whether_it_is_there_ends_it() -> None:
    connection, witness, wire = _made()
    connection.ask(lambda seconds: None)
    connection.data_received(b"$16\r\n0123456789abcdef\r\n")
    assert wire.aborted and "out of order" in witness.why


async def test_confirmations_take_the_place_of_replies() -> None:
    connection, witness, _ = _made()
    subscribed = connection.subscription("SUBSCRIBE", "c")
    after = _say(connection, witness)
    left = connection.subscription("UNSUBSCRIBE", "c")
    # One that a server sends by itself, as when a slot moves, is no answer.
    connection.data_received(b">3\r\n+sunsubscribe\r\n+c\r\n:0\r\n")
    connection.data_received(b">3\r\n+subscribe\r\n+c\r\n:1\r\n:5\r\n>3\r\n+unsubscribe\r\n+c\r\n:0\r\n")
    assert subscribed.done() and left.done() and after.result() == 5 and not connection.slots


async def test_a_refused_subscription_takes_its_place_too() -> None:
    connection, witness, _ = _made()
    refused, after = connection.subscription("SUBSCRIBE", "c"), _say(connection, witness)
    connection.data_received(b"-NOPERM no\r\n:5\r\n")
    assert (refused.result(), after.result()) == ("error NOPERM no", 5)


_KEYS = st.lists(st.text(min_size=0, max_size=5), max_size=3)
_ARGS = st.lists(st.one_of(st.text(max_size=5), st.binary(max_size=5), st.integers(), st.floats(0, 10)), max_size=12)


def _plainly(*parts: Any) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(map(encoded, parts))


@given(keys=_KEYS, args=_ARGS)
def test_operations_are_packed_as_their_words_are(keys: list[str], args: list[Any]) -> None:
    script = Operation(name="s", script="return 1", memory=lambda space, keys, args: None)
    assert packer(script)(keys, args) == _plainly("EVALSHA", script.sha, len(keys), *keys, *args)
    assert packer(GET)(keys, args) == _plainly("GET", *keys, *args) == words("GET", *keys, *args)

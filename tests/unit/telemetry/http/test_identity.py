from __future__ import annotations

import os
import random

import pytest

from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.http.identity import Identifier

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def identify(*headers: tuple[bytes, bytes], ratio: float = 0.0, **policy: bool) -> WorkContext:
    return Identifier(ratio, **policy).identify(headers)


def parent(flags: str = "01", version: str = "00", trace: str = TRACE, span: str = SPAN, rest: str = "") -> bytes:
    return f"{version}-{trace}-{span}-{flags}{rest}".encode()


def test_a_request_without_headers_starts_a_trace() -> None:
    one, two = identify(), identify()
    assert len(one.trace_id) == 32
    assert len(one.span_id) == 16
    assert one.parent_id == ""
    assert int(one.trace_id, 16)
    assert one.trace_id != two.trace_id
    assert one.request_id == one.trace_id


@pytest.mark.parametrize("given", [b"a", b"7f3-Az_9.~:+/=@", b"x" * 128])
def test_a_well_formed_request_id_is_kept(given: bytes) -> None:
    assert identify((b"x-request-id", given)).request_id == given.decode()


@pytest.mark.parametrize("given", [b"", b"x" * 129, b'a"b', b"a b", b"a\nb", b"a\n", "ä".encode(), b"<script>", b"a,b"])
def test_any_other_is_replaced(given: bytes) -> None:
    assert identify((b"x-request-id", given)).request_id not in ("", given.decode())


def test_request_ids_are_not_kept_from_those_who_are_not_trusted() -> None:
    assert identify((b"x-request-id", b"mine"), trust_request_id=False).request_id != "mine"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True), ("02", False), ("ff", True)])
def test_a_trace_goes_on_as_the_caller_decided(flags: str, sampled: bool) -> None:
    for ratio in (0.0, 1.0):
        context = identify((b"traceparent", parent(flags)), ratio=ratio)
        assert (context.trace_id, context.parent_id, context.sampled) == (TRACE, SPAN, sampled)
        assert context.span_id != SPAN
        assert context.request_id != TRACE


def test_without_trust_our_own_ratio_decides() -> None:
    assert not identify((b"traceparent", parent("01")), ratio=0.0, trust_parent=False).sampled
    assert identify((b"traceparent", parent("00")), ratio=1.0, trust_parent=False).sampled


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"nonsense",
        parent(version="ff"),
        parent(trace="0" * 32),
        parent(span="0" * 16),
        parent(trace=TRACE.upper()),
        parent(rest="-more"),
        parent()[:-1],
        b"x" + parent(),
    ],
)
def test_an_invalid_parent_is_ignored(given: bytes) -> None:
    context = identify((b"traceparent", given), (b"tracestate", b"a=1"))
    assert context.trace_id != TRACE
    assert context.parent_id == context.tracestate == ""


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert identify((b"traceparent", parent(version="cc", rest="-what-the-future"))).trace_id == TRACE


def test_two_parents_are_none() -> None:
    assert identify((b"traceparent", parent()), (b"traceparent", parent())).trace_id != TRACE


def test_tracestate_is_passed_on_joined() -> None:
    context = identify((b"tracestate", b"a=1"), (b"traceparent", parent()), (b"tracestate", b"b=2"))
    assert context.tracestate == "a=1,b=2"


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_the_ratio_holds_and_follows_from_the_trace_id(ratio: float) -> None:
    identifier = Identifier(ratio)
    contexts = [identifier.identify(()) for _ in range(20_000)]
    share = sum(context.sampled for context in contexts) / len(contexts)
    assert share == pytest.approx(ratio, abs=0.02)
    bound = int(ratio * 2**64)
    assert all(context.sampled == (int(context.trace_id[16:], 16) < bound) for context in contexts)


def test_ids_do_not_depend_on_a_seed_of_the_application() -> None:
    random.seed(1)
    one = identify().trace_id
    random.seed(1)
    assert identify().trace_id != one


def test_a_forked_worker_has_ids_of_its_own() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, identify().trace_id.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        os.close(write)
        assert pipe.read() != identify().trace_id

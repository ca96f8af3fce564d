"""Who a request is: its id, its trace, and whether the trace is sampled (W3C Trace Context, level 1).

https://www.w3.org/TR/trace-context-1/
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable

from bedplate.telemetry.context import WorkContext
from bedplate.telemetry.traces.propagation import clean_tracestate, parse_traceparent

__all__ = ["TOLD", "Identifier"]

# Not the module's own generator: a service that seeds that one would repeat its ids in every worker.
_random = random.Random()

#: Ids made in advance, trace and span: many in one loop cost half of what they cost one by one between other work.
_ids: list[tuple[str, str]] = []
_take = _ids.pop
_IN_ADVANCE = 256


def _make() -> tuple[str, str]:
    """Make ids in advance, and return one of them."""
    digits = _random.getrandbits(192 * _IN_ADVANCE).to_bytes(24 * _IN_ADVANCE, "little").hex()
    made = [(digits[at : at + 32], digits[at + 32 : at + 48]) for at in range(0, len(digits), 48)]
    first = made.pop()
    _ids.extend(made)
    return first


def _forked() -> None:
    """Make other ids than the parent of this process."""
    _random.seed()
    _ids.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

#: Headers in which a caller tells who a request is.
TOLD = frozenset({b"x-request-id", b"traceparent"})

#: Short, and without a character that would have to be escaped in JSON, a header or a shell.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=@-]{1,128}\Z")


class Identifier:
    """Gives every request its :class:`~bedplate.telemetry.context.WorkContext`.

    :param ratio: the share of traces to sample, 0 to 1. Like OpenTelemetry's ``TraceIdRatioBased`` it compares the
        lower 64 bits of the trace id with a bound, so that services with one ratio sample the same traces.
    :param trust_parent: whether the caller's sampled flag overrules the ratio.
    :param trust_request_id: whether a well-formed id of the caller is kept.
    """

    __slots__ = ("_bound", "_trust_parent", "_trust_request_id")

    def __init__(self, ratio: float, *, trust_parent: bool = True, trust_request_id: bool = True) -> None:
        # Hexadecimal digits of one length sort like the numbers they write; "g" is above all of them.
        self._bound = "g" if ratio >= 1.0 else f"{int(ratio * 2**64):016x}"
        self._trust_parent = trust_parent
        self._trust_request_id = trust_request_id

    def anew(self) -> WorkContext:
        """Return the context of a request whose caller tells nothing."""
        try:
            trace_id, span_id = _take()
        except IndexError:
            trace_id, span_id = _make()
        # Who quotes the id of a request has the id of its trace, too.
        return WorkContext(trace_id, trace_id, span_id, "", trace_id[16:] < self._bound)

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> WorkContext:
        """Return the context of a request with these headers, as the server gave them."""
        context = self.anew()
        self.told(context, headers)
        return context

    def told(self, context: WorkContext, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over into a new context what the caller tells."""
        parents: list[bytes] = []
        for name, value in headers:
            if name == b"traceparent":
                parents.append(value)
            elif name == b"x-request-id" and self._trust_request_id and _REQUEST_ID.match(value):
                context.request_id = value.decode("ascii")
        # Two callers contradict each other: the trace begins anew.
        caller = parse_traceparent(parents[0].decode("latin-1")) if len(parents) == 1 else None
        if caller is None:
            return
        # The request's id stays its own: the trace has other requests.
        context.trace_id, context.parent_id = caller.trace_id, caller.span_id
        context.sampled = caller.sampled if self._trust_parent else caller.trace_id[16:] < self._bound
        states = [value.decode("latin-1") for name, value in headers if name == b"tracestate"]
        if states:
            context.tracestate = clean_tracestate(*states)

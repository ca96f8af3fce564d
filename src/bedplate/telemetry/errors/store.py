"""Errors in groups, in memory; bounded by number and by bytes, safe between threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from bedplate.clock import Clock, SystemClock
from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.errors.fingerprint import Origin
from bedplate.telemetry.errors.groups import ErrorGroup
from bedplate.telemetry.redaction import Redactor, describe
from bedplate.telemetry.stacks import render

__all__ = ["Captured", "ErrorStore"]

#: Seconds for which an example is good enough: making one costs a hundred times what counting does.
_SAMPLE_SECONDS = 30.0
#: Messages told apart at one place in the code; beyond, a message is taken for one that carries user input.
_MAX_MESSAGES = 10
_MAX_SITES = 2_000
_STACK_LIMIT = 32_768
_MARK = "__bedplate_error__"

#: Told of every counted error: the group, the exception, and whether nobody caught it.
Captured = Callable[[ErrorGroup, BaseException, bool], None]


class ErrorStore:
    """Keeps errors, grouped by fingerprint.

    :param max_groups: groups kept; the one seen longest ago makes room. :param max_bytes: bytes they may take.
    :param redactor: takes secrets out of messages and stacks. Local variables are never looked at.
    :ivar evicted: groups that made room for others.
    """

    def __init__(
        self,
        max_groups: int = 500,
        max_bytes: int = 8 * 1024 * 1024,
        *,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
        service: str = "",
    ) -> None:
        self.max_groups = max_groups
        self.max_bytes = max_bytes
        self.redactor = redactor or Redactor()
        self.clock: Clock = clock or SystemClock()
        self.service = service
        self.evicted = 0
        self.listeners: tuple[Captured, ...] = ()
        # The group seen last is the last one.
        self._groups: OrderedDict[str, ErrorGroup] = OrderedDict()
        self._messages: OrderedDict[str, set[str]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._groups)

    def capture(
        self,
        error: BaseException,
        context: WorkContext | None = None,
        *,
        route: str = "",
        handled: bool = False,
        log: Mapping[str, Any] | None = None,
    ) -> str:
        """Count an error and return its group's fingerprint; never raises.

        The same exception on its way through several layers is counted once: who comes later adds what is not known
        yet, such as the route, or that nobody handled it after all.

        :param context: the work that failed; by default that at hand.
        :param route: where it came from: an HTTP route, a job, a component's task.
        :param handled: whether it was caught where it could be dealt with.
        :param log: the log record that told of it, with ``logger`` and ``message``.
        """
        try:
            return self._capture(error, context if context is not None else current.get(), route, handled, log)
        except Exception:
            return ""

    def _capture(
        self,
        error: BaseException,
        context: WorkContext | None,
        route: str,
        handled: bool,
        log: Mapping[str, Any] | None,
    ) -> str:
        request = context.request_id if context is not None else ""
        mark = getattr(error, _MARK, None)
        if isinstance(mark, _Mark) and mark.is_of(self, request):
            self._complete(mark, route, handled, log)
            return mark.fingerprint
        origin = Origin(error)
        now = self.clock.time()
        with self._lock:
            fingerprint = self._choose(origin)
            group = self._groups.get(fingerprint)
            if group is None:
                group = ErrorGroup(fingerprint, origin.type, origin.culprit, now, now, {}, self.service)
                self._groups[fingerprint] = group
            sampled = now - group.sampled_at >= _SAMPLE_SECONDS or now < group.sampled_at
            if sampled:
                group.sampled_at = now
                group.sample = self._sample(error, origin)
            self._groups.move_to_end(fingerprint)
            group.happened(now)
            group.tally(int(now // 60), 1)
            group.unhandled += not handled
            group.at_route(route)
            self._identify(group, context, route, log)
            if sampled:
                self._measure(group)
                self._make_room()
        _mark(error, _Mark(self, fingerprint, request, handled, route))
        for listener in self.listeners:
            listener(group, error, handled)
        return fingerprint

    def search(
        self,
        *,
        type: str = "",
        route: str = "",
        service: str = "",
        text: str = "",
        status: str = "",
        since: float = 0.0,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Return the groups that match, the one seen last first.

        :param type: the exception's type, with or without its module. :param text: part of what is known of it.
        :param status: ``open``, ``resolved`` or ``muted``. :param since: Unix time; groups seen then or later.
        """
        now = self.clock.time()
        wanted = text.lower()
        found: list[dict[str, Any]] = []
        with self._lock:
            for group in reversed(self._groups.values()):
                if len(found) >= limit:
                    break
                if (
                    (not type or group.type == type or group.type.rpartition(".")[2] == type)
                    and (not route or route in group.routes)
                    and (not service or group.service == service)
                    and (not status or group.status == status)
                    and group.last_seen >= since
                    and (not wanted or wanted in _words(group))
                ):
                    found.append(group.summary(now))
        found.sort(key=lambda item: item["last_seen"], reverse=True)
        return found

    def get(self, fingerprint: str) -> dict[str, Any] | None:
        """Return all that is known of a group, None when it is not kept."""
        with self._lock:
            group = self._groups.get(fingerprint)
            return None if group is None else group.detail(self.clock.time())

    def resolve(self, fingerprint: str) -> bool:
        """Call a group resolved until it happens again; return False when it is not kept."""
        return self._change(fingerprint, "resolved", None)

    def mute(self, fingerprint: str, for_seconds: float | None = None) -> bool:
        """Count a group on, but report it nowhere; for ever, or for some seconds."""
        return self._change(fingerprint, "muted", None if for_seconds is None else self.clock.time() + for_seconds)

    def reopen(self, fingerprint: str) -> bool:
        """Take a resolution or muting back."""
        return self._change(fingerprint, "open", None)

    def drain(self) -> list[dict[str, Any]]:
        """Return what happened since the last call as plain data, to be sent to another process."""
        with self._lock:
            return [delta for group in self._groups.values() if (delta := group.delta()) is not None]

    def extend(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add what another process drained."""
        with self._lock:
            for record in records:
                fingerprint = str(record["fingerprint"])
                group = self._groups.get(fingerprint)
                seen = float(record["last_seen"])
                if group is None:
                    names = (str(record["type"]), str(record["culprit"]))
                    group = ErrorGroup(fingerprint, *names, seen, seen, {}, str(record["service"]))
                    self._groups[fingerprint] = group
                if seen >= group.last_seen:
                    group.sample = dict(record["sample"])
                    self._measure(group)
                    self._groups.move_to_end(fingerprint)
                group.merge(record)
                self._make_room()

    def _choose(self, origin: Origin) -> str:
        """Return the fingerprint, without the message where the message is different every time."""
        messages = self._messages.setdefault(origin.site, set())
        self._messages.move_to_end(origin.site)
        if len(self._messages) > _MAX_SITES:
            self._messages.popitem(last=False)
        if origin.fingerprint in messages:
            return origin.fingerprint
        if len(messages) >= _MAX_MESSAGES:
            return origin.site
        messages.add(origin.fingerprint)
        return origin.fingerprint

    def _sample(self, error: BaseException, origin: Origin) -> dict[str, Any]:
        return {
            "message": self.redactor.text(describe(error), 2_000),
            "stack": render(error, _STACK_LIMIT, redactor=self.redactor),
            "frames": [
                {
                    "module": frame.module,
                    "function": frame.function,
                    "file": frame.file,
                    "line": frame.line,
                    "in_app": frame.in_app,
                }
                for frame in origin.frames
            ],
        }

    def _identify(
        self, group: ErrorGroup, context: WorkContext | None, route: str, log: Mapping[str, Any] | None
    ) -> None:
        """Say which work failed last."""
        sample = group.sample
        if context is not None:
            sample["trace_id"] = context.trace_id
            sample["span_id"] = context.span_id
            sample["request_id"] = self.redactor.text(context.request_id, 200)
            if context.fields:
                sample["context"] = self.redactor.mapping(context.fields)
        if route:
            sample["route"] = route
        if log is not None:
            sample["log"] = {name: self.redactor.value(value) for name, value in log.items()}

    def _complete(self, mark: _Mark, route: str, handled: bool, log: Mapping[str, Any] | None) -> None:
        with self._lock:
            group = self._groups.get(mark.fingerprint)
            if group is None:
                return
            if mark.handled and not handled:
                mark.handled = False
                group.unhandled += 1
            if route and not mark.route:
                mark.route = route
                group.at_route(route)
                group.sample["route"] = route
            if log is not None:
                self._identify(group, None, "", log)

    def _measure(self, group: ErrorGroup) -> None:
        size = len(orjson.dumps(group.sample))
        self._bytes += size - group.size
        group.size = size

    def _make_room(self) -> None:
        while len(self._groups) > 1 and (len(self._groups) > self.max_groups or self._bytes > self.max_bytes):
            _, group = self._groups.popitem(last=False)
            self._bytes -= group.size
            self.evicted += 1

    def _change(self, fingerprint: str, status: Any, until: float | None) -> bool:
        with self._lock:
            group = self._groups.get(fingerprint)
            if group is None:
                return False
            group.status, group.muted_until = status, until
            group.regressed = False
            return True


class _Mark:
    """Left on an exception that was counted."""

    __slots__ = ("fingerprint", "handled", "request", "route", "store")

    def __init__(self, store: ErrorStore, fingerprint: str, request: str, handled: bool, route: str) -> None:
        self.store = id(store)
        self.fingerprint = fingerprint
        self.request = request
        self.handled = handled
        self.route = route

    def is_of(self, store: ErrorStore, request: str) -> bool:
        """Return whether it means the same occurrence: an exception object may be raised again in another request."""
        return self.store == id(store) and (not request or not self.request or self.request == request)


def _mark(error: BaseException, mark: _Mark) -> None:
    with suppress(AttributeError, TypeError):  # an exception that takes no attributes is counted wherever it passes
        BaseException.__setattr__(error, _MARK, mark)


def _words(group: ErrorGroup) -> str:
    sample = group.sample
    return f"{group.type}\n{sample.get('message')}\n{group.culprit}\n{sample.get('stack')}".lower()

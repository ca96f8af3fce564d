"""Confirmations as a component."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from uuid_utils import uuid4

from bedplate.component import Environment, Host, Spec
from bedplate.declarations import Action, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import DeclarationError, Refusal
from bedplate.state.confirmations.actions import actions_of
from bedplate.state.confirmations.calls import Calls
from bedplate.state.confirmations.confirmation import Codec, Confirmation, Decision, Expired
from bedplate.state.confirmations.errors import (
    AlreadyDecidedError,
    ConfirmationError,
    ConfirmationExistsError,
    ConfirmationUnavailableError,
    UnknownConfirmationError,
)
from bedplate.state.confirmations.metrics import AVAILABLE, METRICS, alerts, panels
from bedplate.state.confirmations.operations import CREATE, DECIDE, DUE, FORGET, GET, INDEX, MEMBERS
from bedplate.state.confirmations.telling import Telling, Told
from bedplate.state.confirmations.waiting import Waiting
from bedplate.state.reach import Reach
from bedplate.state.roles import forgetful
from bedplate.state.store import Call, Store

__all__ = ["Confirmations", "ConfirmationsSettings"]

T = TypeVar("T")
Handler = TypeVar("Handler", bound=Callable[..., Any])

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
_DAY = 86_400.0
_ALONE = "Each process has confirmations of its own: what one worker asks, another cannot decide. Set REDIS_URL."
_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}\Z")


class ConfirmationsSettings(BaseModel):
    """How confirmations are kept, for people."""

    model_config = ConfigDict(frozen=True)

    ttl: float
    """Seconds after which a question expires."""

    retell: float
    """Seconds after which what could not be told is told again."""

    prefix: str
    """What the keys in the store begin with."""


class Confirmations(Generic[T]):
    """Questions to users, each decided exactly once: ``Confirmations(shared, Guess)``.

    .. code-block:: python

        asked = await confirmations.create("user-7", Guess(transaction=12, category="food"))
        decided = await confirmations.confirm(asked.id, by="user-7")

        @confirmations.on_decision
        async def apply(confirmation: Confirmation[Guess]) -> None: ...

    They survive restarts and are shared by all instances. In the store a confirmation is ``confirmation:{id}``, JSON
    that ends after a day, and ``user_pending:{user}`` is the set of the ids of a user that are pending.

    :param payload: the type of what is asked about: a pydantic model, a dataclass, a ``TypedDict``, ``dict``.
    :param ttl: seconds after which a question expires. :param retell: seconds after which what could not be told is
        told again; a handler may take two thirds of it. :param prefix: what keys begin with; services that share a
        store need different ones, and a component that is not the default one has its name by default.
    """

    def __init__(
        self,
        store: Store,
        payload: type[T],
        name: str = "default",
        *,
        ttl: float = _DAY,
        retell: float = 30.0,
        prefix: str | None = None,
    ) -> None:
        if ttl < 1 or retell < 1:
            raise DeclarationError(
                f"Confirmations {name} expire after {ttl} s and are told again after {retell} s.",
                "Give users and handlers a second at least.",
            )
        self.store = store
        self.name = name
        self.ttl = ttl
        self.retell = retell
        self.codec = Codec(payload)
        self.decision_handlers: list[Told] = []
        self.expiry_handlers: list[Told] = []
        self._listeners: list[Callable[[Confirmation[T] | Expired], None]] = []
        self._prefix = ("" if name == "default" else f"{name}:") if prefix is None else prefix
        self.due_key = f"{self._prefix}confirmations_due"
        self.channel = f"{self._prefix}confirmations_told"
        self._calls: Calls | None = None
        self._spec = Spec(
            kind="confirmations",
            name=name,
            summary="Asks users before something is done, and takes each decision once.",
            needs=(store,),
            settings=ConfirmationsSettings(ttl=ttl, retell=retell, prefix=self._prefix),
            scope="cluster",
            degradation=Degradation(
                policy="refuse",
                summary="Nothing is asked or decided (503); sending a decision again is safe.",
                gauge=AVAILABLE(confirmations=name),
                alert="ConfirmationsUnavailable",
            ),
            metrics=tuple(metric(confirmations=name) for metric in METRICS),
            alerts=alerts(name),
            panels=panels(name),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse a store that forgets."""
        return forgetful(self._spec.label, self.store, "confirmations")

    @property
    def running(self) -> bool:
        """Whether something can be asked."""
        return self._calls is not None

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Serve, and tell of what is decided or expires."""
        self._calls = Calls(self.store, host)
        self._reach = Reach(host, self._spec, alone=_ALONE)
        self._waiting = Waiting(host)
        self._telling = Telling(self, host)
        listening = self.store.listen(self.channel, self._heard, missed=self._waiting.all)
        unwatch = self.store.watch(self._told)
        self._reach.show(self.store.available)
        host.spawn("tell", self._telling.run)
        try:
            yield
        finally:
            self._calls = None
            unwatch()
            listening.close()
            self._waiting.all()

    async def create(
        self, user: str, payload: T, *, ttl: float | None = None, id: str | None = None
    ) -> Confirmation[T]:
        """Ask a user something.

        :param ttl: seconds after which it expires, if not as usual. :param id: for a caller who may have to repeat
            the call: the same question under the same id is asked once. Letters, digits, ``_``, ``-`` and ``.``.
        :raises ConfirmationExistsError: when something else was asked under this id.
        :raises ConfirmationUnavailableError: when the store is away.
        """
        seconds = self.ttl if ttl is None else ttl
        if seconds <= 0 or not user:
            raise ValueError("A confirmation needs a user, and some time.")
        id = uuid4().hex if id is None else _checked(id)
        calls, rest, ms = self._running(), self.codec.rest(id, user, payload), max(1, int(seconds * 1000))
        reply = await calls.run(CREATE, (self.key(id),), (ms, rest), again=True)
        confirmation, _ = self.codec.read(reply[1])
        if not reply[0] and (confirmation.user, confirmation.payload) != (user, self._parsed(payload)):
            raise ConfirmationExistsError(id)
        if not confirmation.pending:
            return confirmation
        # The document first: whoever reads the index and finds none may take the id out of it.
        expires = int(confirmation.expires.timestamp() * 1000) + 2
        await calls.run_many(
            [
                Call(INDEX, (self.user_key(user),), (id, ms)),
                Call(DUE, (self.due_key,), (expires, self.member(id, user))),
            ]
        )
        if reply[0]:
            calls.created.inc()
        self._telling.expects(seconds)
        return confirmation

    async def get(self, id: str) -> Confirmation[T] | None:
        """Return a confirmation, None when there is none, or none any more.

        :raises ConfirmationUnavailableError: when the store is away.
        """
        raw = await self._running().run(GET, (self.key(_checked(id)),))
        return None if raw is None else self.codec.read(raw)[0]

    async def confirm(self, id: str, by: str, *, token: str = "") -> Confirmation[T]:
        """Decide that it is right.

        A decision is taken once. The same decision of the same person gives the same answer again, so that it can be
        repeated when its answer was lost.

        :param by: who decides. :param token: tells this decision from others instead of who and what; whoever sends
            the same token gets the same answer.
        :raises AlreadyDecidedError: when it was decided otherwise, with by whom and when (409 in a request).
        :raises UnknownConfirmationError: when there is none any more (404).
        :raises ConfirmationUnavailableError: when the store is away (503); repeat the same call.
        """
        return await self._decide(id, "confirmed", by, token, None)

    async def reject(self, id: str, by: str, *, token: str = "") -> Confirmation[T]:
        """Decide that it is wrong; see :meth:`confirm`."""
        return await self._decide(id, "rejected", by, token, None)

    async def correct(self, id: str, by: str, correction: T, *, token: str = "") -> Confirmation[T]:
        """Decide that something else is right; see :meth:`confirm`."""
        return await self._decide(id, "corrected", by, token, correction)

    async def _decide(self, id: str, status: Decision, by: str, token: str, correction: T | None) -> Confirmation[T]:
        if not by:
            raise ValueError("Say who decides.")
        calls = self._running()
        token = token or self.codec.token(by, status, correction)
        members = self.codec.decision(by, token, correction)
        reply = await calls.run(
            DECIDE, (self.key(_checked(id)),), (status, members, int(_DAY * 1000), self.channel), again=True
        )
        if reply is None:
            raise UnknownConfirmationError(id)
        confirmation, its = self.codec.read(reply[1])
        if not reply[0] and (its != token or confirmation.status != status):
            calls.conflicts.inc()
            raise AlreadyDecidedError(confirmation)
        # Also when it is repeated: the first answer may have been lost, and with it this.
        self._telling.decided(confirmation)
        return confirmation

    async def pending(self, user: str) -> list[Confirmation[T]]:
        """Return what a user has not answered yet, the oldest first; ids that are over leave the user's set.

        :raises ConfirmationUnavailableError: when the store is away.
        """
        calls = self._running()
        ids = [member.decode() for member in await calls.run(MEMBERS, (self.user_key(user),))]
        found: list[Confirmation[T]] = []
        over: list[str] = []
        for id, raw in zip(ids, await calls.run_many([Call(GET, (self.key(id),)) for id in ids]), strict=True):
            confirmation = None if raw is None else self.codec.read(raw)[0]
            if confirmation is not None and confirmation.pending and confirmation.user == user:
                found.append(confirmation)
            else:
                over.append(id)
        if over:
            await calls.try_many([Call(FORGET, (self.user_key(user),), over)])
        return sorted(found, key=lambda one: (one.created, one.id))

    async def count(self, user: str) -> int:
        """Return how many questions a user has not answered yet.

        :raises ConfirmationUnavailableError: when the store is away.
        """
        return len(await self.pending(user))

    async def wait(self, id: str, *, timeout: float | None = None) -> Confirmation[T]:
        """Wait until it is decided, on whichever instance, and return it; outages are waited out.

        :raises ConfirmationExpiredError: when nobody decides it. :raises UnknownConfirmationError: when there is none.
        :raises TimeoutError: when it is still pending after ``timeout`` seconds.
        :raises ConfirmationUnavailableError: when the store is away at first.
        """
        return await self._waiting.decided(self, _checked(id), timeout)

    def on_decision(self, handler: Handler) -> Handler:
        """Let an async function be called with each decision, on one of the instances, at least once.

        It is called again, there or elsewhere, until it succeeds; so it must be able to do the same twice. Register
        it on every instance, before the service starts.
        """
        self.decision_handlers.append(handler)
        return handler

    def on_expiry(self, handler: Handler) -> Handler:
        """Let an async function be called with each :class:`Expired`, on one of the instances, at least once."""
        self.expiry_handlers.append(handler)
        return handler

    def listen(self, heard: Callable[[Confirmation[T] | Expired], None]) -> Callable[[], None]:
        """Hear of decisions and expiries as they happen, on this instance too; return how to end it.

        What happens while the store is out of reach is not heard; nothing that must happen belongs here.
        """
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard)

    def overview(self) -> Mapping[str, Any]:
        """Return what this process knows."""
        return {
            "available": self.store.available,
            "waitedFor": len(self._waiting) if self.running else 0,
            "ttlSeconds": self.ttl,
        }

    def actions(self) -> Sequence[Action]:
        """Return what operators may do: look at a confirmation, decide one in a user's place."""
        return actions_of(self)

    def key(self, id: str) -> str:
        """Return the key of a confirmation."""
        return f"{self._prefix}confirmation:{id}"

    def user_key(self, user: str) -> str:
        """Return the key of a user's set."""
        return f"{self._prefix}user_pending:{user}"

    def member(self, id: str, user: str) -> str:
        """Return what stands for it among what is to be told."""
        return f"{id}:{user}"

    def _running(self) -> Calls:
        if self._calls is None:
            raise ConfirmationUnavailableError("the component does not run.")
        return self._calls

    def _parsed(self, payload: T) -> T:
        return self.codec.adapter.validate_json(self.codec.adapter.dump_json(payload))

    def _heard(self, message: bytes) -> None:
        try:
            what: Confirmation[T] | Expired = self.codec.read(message)[0]
        except ConfirmationError:
            expired = self.codec.expired(message)
            if expired is None:
                return
            what = expired
        self._waiting.heard(what.id)
        for listener in list(self._listeners):
            try:
                listener(what)
            except Exception as error:
                self._running().log.error("confirmation_listener_failed", error=f"{type(error).__name__}: {error}")

    def _told(self, available: bool) -> None:
        if self._calls is not None:
            self._reach.show(available)
            if available:
                self._telling.wake()
                self._waiting.all()


def _checked(id: str) -> str:
    if not _ID.match(id):
        raise UnknownConfirmationError(id[:100])
    return id

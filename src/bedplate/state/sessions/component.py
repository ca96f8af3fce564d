"""The component: sessions of the users of a service, shared by its instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from starlette.requests import HTTPConnection
from starlette.types import Scope

from bedplate.component import Environment, Host, Spec
from bedplate.declarations import Action, Middleware, Probe, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import BedplateError, DeclarationError, Refusal
from bedplate.settings.rotation import RotatingSecret
from bedplate.state.reach import Reach
from bedplate.state.sessions.actions import actions_of
from bedplate.state.sessions.cookies import Cookie, SameSite
from bedplate.state.sessions.errors import NotSignedInError, SessionsUnavailableError
from bedplate.state.sessions.keeper import Keeper
from bedplate.state.sessions.metrics import METRICS, UP, alerts, panels
from bedplate.state.sessions.middleware import SessionMiddleware
from bedplate.state.sessions.names import Names, split_id
from bedplate.state.sessions.record import SessionInfo, info
from bedplate.state.sessions.session import Session
from bedplate.state.sessions.settings import SessionsSettings
from bedplate.state.store import Store, StoreError

__all__ = ["Sessions"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
#: Characters of a secret that can be called one.
_LEAST_SECRET = 32
#: Seconds between two looks whether something was missed.
_LOOK = 30.0


class Sessions:
    """Server-side sessions, by user: ``Sessions(shared, secret=settings.session_secret)``.

    .. code-block:: python

        @app.post("/sign-in")
        async def sign_in(form: SignIn, session: Annotated[Session, Depends(sessions.current)]) -> None:
            await session.sign_in(user_of(form))

        @app.get("/me")
        async def me(session: Annotated[Session, Depends(sessions.required)]) -> str:
            return session.user

    While the store is away, a session that this process has seen serves reads for ``known`` seconds, any other is
    answered with 503, and whatever would change one, too.

    :param store: where they are kept; it must never evict.
    :param secret: at least 32 characters; what is kept is hashed with it. Production refuses to start without. Of a
        :class:`RotatingSecret` the previous value is good for its overlap.
    :param idle: seconds without use after which a session is over. :param longest: seconds after which it is in any
        case. :param most: sessions of one user; the one used longest ago makes room.
    :param known: seconds for which what is held serves reads while the store is away.
    :param near: users of whom this process holds sessions; 0 asks the store for each, and knows nobody in an outage.
    :param cookie: its name; the service's and this component's by default.
    :param persistent: whether browsers keep the cookie when they are closed.
    :param largest: bytes of data that one may hold.
    """

    def __init__(
        self,
        store: Store,
        name: str = "default",
        *,
        secret: str | SecretStr | RotatingSecret | None = None,
        idle: float = 1800.0,
        longest: float = 43_200.0,
        most: int = 50,
        known: float = 300.0,
        near: int = 10_000,
        fresh: float = 30.0,
        remembered: int = 50_000,
        largest: int = 16_384,
        cookie: str = "",
        same_site: SameSite = "lax",
        persistent: bool = False,
    ) -> None:
        if not 0 < idle <= longest:
            raise DeclarationError(
                f"Sessions {name} are idle after {idle:g} s and end after {longest:g} s.", "Let idle be the shorter."
            )
        self.name = name
        self.settings = SessionsSettings(
            idle=idle,
            longest=longest,
            touch=min(60.0, idle / 10),
            most=most,
            near=near,
            fresh=fresh,
            known=known,
            remembered=remembered,
            largest=largest,
        )
        self._store = store
        self._secret, self._length = _rotating(secret)
        self._same_site: SameSite = same_site
        self._max_age = int(longest) if persistent else 0
        self._cookie_name = cookie
        self._cookie = Cookie(cookie or "session", same_site=same_site, max_age=self._max_age)
        self._host: Host | None = None
        self._keeper: Keeper | None = None
        self._again = asyncio.Event()
        self._warned = False
        self._spec = Spec(
            kind="sessions",
            name=name,
            summary="Knows who is signed in, on all instances, and signs them out everywhere.",
            needs=(store,),
            settings=self.settings,
            scope="cluster" if store.shared else "process",
            degradation=Degradation(
                policy="known",
                summary=f"Sessions that a process has seen serve reads for {known:g} s; unknown ones get 503, never "
                "401. Nobody signs in or out: refused with 503. Who was signed out stays so.",
                gauge=UP(sessions=name),
                alert="SessionsStoreAway",
            ),
            metrics=tuple(metric(sessions=name) for metric in METRICS),
            probes=(Probe(name="store", check=self.ping, summary="A session can be looked for.", critical=False),),
            alerts=alerts(name),
            panels=panels(name),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse production without a secret."""
        if environment == "production" and self._length < _LEAST_SECRET:
            what = "it has no secret." if not self._length else f"its secret has {self._length} characters."
            yield Refusal(self._spec.label, what, f"Give it one of {_LEAST_SECRET} or more, the same to all instances.")

    def middleware(self) -> Sequence[Middleware]:
        """Return what puts the session into ``request.state.session``."""
        return (Middleware(stage="identity", factory=partial(SessionMiddleware, sessions=self)),)

    def actions(self) -> Sequence[Action]:
        """Return what operators may do."""
        return actions_of(self)

    def overview(self) -> Mapping[str, Any]:
        """Return what this process knows."""
        keeper = self._keeper
        if keeper is None:
            return {"reachable": False}
        return {
            "reachable": self.reachable,
            "usersNear": len(keeper.near),
            "revocationsRemembered": len(keeper.revoked),
            "revocationsWaiting": len(keeper.revoked.waiting),
            "signedOutBefore": keeper.revoked.everyone / 1000 or None,
        }

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Know sessions while inside; what is held near is forgotten after."""
        store, names = self._store, Names(host.service, self.name, self._secret)
        self._again = asyncio.Event()
        keeper = Keeper(store, self.name, self.settings, names, host, self._again.set)
        suffix = "session" if self.name == "default" else self.name
        self._cookie = Cookie(
            self._cookie_name or f"{host.service}-{suffix}",
            same_site=self._same_site,
            max_age=self._max_age,
            plain=host.environment in ("development", "test"),
        )
        self._host, self._keeper = host, keeper

        def changed(keys: Sequence[str] | None) -> None:
            keeper.changed(None if keys is None else map(names.tag_in, keys))

        def missed() -> None:
            # Whoever ended a session meanwhile may have been heard by nobody.
            keeper.near.lost(keeper.monotonic())
            keeper.is_told = False
            self._again.set()

        ending = [store.track(names.prefix, changed), store.watch(self._reached)]
        listening = store.listen(names.channel, keeper.heard, missed=missed)
        try:
            self._show(store.available)
            with suppress(StoreError):
                await listening.ready()
                await keeper.hear_of_everyone()
            host.spawn("reconcile", lambda: self._reconcile(host, keeper))
            host.spawn("look", lambda: self._look(host, keeper))
            yield
        finally:
            listening.close()
            for end in ending:
                end()
            self._host = self._keeper = None

    # For services

    async def current(self, connection: HTTPConnection) -> Session:
        """Return the session of a request, read; a dependency of FastAPI: ``Depends(sessions.current)``.

        :raises SessionsUnavailableError: (503) when nobody can tell now whose it is.
        """
        session = connection.scope.get("state", {}).get("session")
        if not isinstance(session, Session):
            raise BedplateError("This request has no session.", "Name the Sessions among the service's components.")
        return await session.load()

    async def required(self, connection: HTTPConnection) -> Session:
        """Return the session of a request in which somebody is signed in: ``Depends(sessions.required)``.

        :raises NotSignedInError: (401) when nobody is. :raises SessionsUnavailableError: (503) as :meth:`current`.
        """
        session = await self.current(connection)
        if session.user is None:
            raise NotSignedInError
        return session

    async def find(self, token: str) -> Session | None:
        """Return the session of a cookie's value that came another way, None when there is none.

        :raises SessionsUnavailableError: when nobody can tell now.
        """
        session = await Session(self, token).load()
        return session if session.exists else None

    async def ended(self, session: Session) -> None:
        """Return when a session has ended, at once wherever it was; then close what is kept open for it.

        A session whose secret was rotated has ended for whoever knows the old one. One that is over since it was not
        used is noticed within half a minute; what is kept open is no use of it. An outage ends none.
        """
        token = session.token or ""
        with self.keeper.endings.of(token.partition(".")[0]) as woken:
            while True:
                woken.clear()
                with suppress(SessionsUnavailableError):
                    if await self.find(token) is None:
                        return
                await woken.wait()

    async def open(self, user: str, *, label: str = "", agent: str = "") -> tuple[str, Session]:
        """Sign a user in without a browser; return the token for :meth:`find`, a secret, and the session.

        :raises SessionsUnavailableError: when the store is away.
        """
        session = Session(self, agent=agent)
        await session.sign_in(user, label=label)
        assert session.token is not None
        return session.token, session

    async def list(self, user: str, *, current: Session | None = None) -> list[SessionInfo]:
        """Return the sessions of a user, the last used first.

        :param current: the one that asks, to be marked. :raises SessionsUnavailableError: when the store is away.
        """
        tag = self.keeper.names.tag_of(user)
        own = current.id if current is not None else ""
        found = [(f"{tag}.{name}", entry) for name, entry in await self.keeper.list(tag)]
        return [info(entry, id, current=id == own) for id, entry in found]

    async def revoke(self, session: Session | SessionInfo | str, *, user: str | None = None) -> bool:
        """End a session; return whether there was one. No instance serves it from then on.

        :param session: itself, or its public id. :param user: whose it must be, for an id that came from a browser.
        :raises SessionsUnavailableError: when the store is away; it ends here, and elsewhere when the store is back.
        """
        parts = split_id(session if isinstance(session, str) else session.id)
        if parts is None or (user is not None and parts[0] != self.keeper.names.tag_of(user)):
            return False
        return await self.keeper.revoke(parts[0], (parts[1],)) > 0

    async def revoke_all(self, user: str, *, but: Session | None = None) -> int:
        """End all sessions of a user; return how many there were.

        :param but: one that stays. :raises SessionsUnavailableError: when the store is away; see :meth:`revoke`.
        """
        tag = self.keeper.names.tag_of(user)
        stays = split_id(but.id) if but is not None else None
        return await self.keeper.revoke_all(tag, stays[1] if stays is not None and stays[0] == tag else "")

    async def revoke_everyone(self) -> None:
        """End all sessions of everybody. :raises SessionsUnavailableError: when the store is away."""
        await self.keeper.revoke_everyone()

    @property
    def reachable(self) -> bool:
        """Whether sessions can be changed now, as far as is known."""
        return self._keeper is not None and self._store.available

    async def ping(self) -> str:
        """Look for a session that is not there.

        :raises StoreError: when the store is away.
        """
        await self.keeper.hear_of_everyone()
        return "reachable"

    # For their parts

    @property
    def keeper(self) -> Keeper:
        """What this process knows. :raises BedplateError: when it does not run."""
        if self._keeper is None:
            raise BedplateError(f"Sessions {self.name} do not run.", "Use them inside the service.")
        return self._keeper

    def cookie_of(self, scope: Scope) -> str:
        """Return what the cookie of a request says."""
        return self._cookie.of(scope)

    def set_cookie(self, scope: Scope, token: str | None) -> bytes | None:
        """Return the ``Set-Cookie`` header for a session's token; None when there is none to set or to remove."""
        if token is None and not self._cookie.of(scope):
            return None
        if self._cookie.is_plain(scope) and not self._warned and self._host is not None:
            self._warned = True
            self._host.log.info("session_cookie_plain", why="development over HTTP: the cookie is not Secure")
        return self._cookie.set(scope, token)

    # What goes on

    def _reached(self, available: bool) -> None:
        keeper = self._keeper
        if keeper is not None and not available:
            keeper.near.lost(keeper.monotonic())
            keeper.is_told = False
        elif available:
            self._again.set()
        self._show(available)

    def _show(self, available: bool) -> None:
        host = self._host
        if host is not None:
            Reach(host, self._spec).show(available)

    async def _reconcile(self, host: Host, keeper: Keeper) -> None:
        """Tell the store what it may have missed, whenever it is back."""
        while True:
            await self._again.wait()
            self._again.clear()
            if self._store.available:
                try:
                    await keeper.tell_again()
                except StoreError as error:
                    # It is tried again when the store is back, and at the next look.
                    host.log.warning("sessions_not_reconciled", error=str(error))

    async def _look(self, host: Host, keeper: Keeper) -> None:
        """See from time to time whether something was missed."""
        while True:
            keeper.count()
            await host.clock.sleep(_LOOK)
            keeper.endings.wake_all()
            if keeper.revoked.waiting:
                self._again.set()
            if self._store.available:
                with suppress(StoreError):
                    await keeper.hear_of_everyone()


def _rotating(secret: str | SecretStr | RotatingSecret | None) -> tuple[RotatingSecret, int]:
    """Return the secret and its length, 0 when none was given."""
    if isinstance(secret, RotatingSecret):
        return secret, _LEAST_SECRET
    text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret or ""
    # Without one, hashes are still no way back to a cookie; but whoever writes into the store could make sessions.
    return RotatingSecret(text or "development", name="sessions"), len(text)

"""The component that knows who asks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.clock import Clock, SystemClock
from bedplate.component import BoundCounter, Environment, Host, Logger, Spec
from bedplate.declarations import Actor, Alert, Panel, Series
from bedplate.metric import Counter
from bedplate.monitor.auth.origin import is_cross_site, is_local, is_safe
from bedplate.monitor.auth.settings import AuthSettings
from bedplate.monitor.auth.throttle import Throttle, client_key
from bedplate.monitor.auth.tokens import MINIMUM_LENGTH, Grant, Identity, Token, TokenTable, allows
from bedplate.monitor.replies import header, reply_problem
from bedplate.monitor.runbooks import runbook
from bedplate.problems import Problem, Refusal

__all__ = ["ATTEMPTS", "Authenticator", "vouched"]

ATTEMPTS = Counter(
    "bedplate_auth_attempts_total",
    "Requests to what is not open, by what became of their credentials.",
    {
        "outcome": (
            "accepted",  # a known token, or a local caller in development
            "missing",  # no credentials where some are needed
            "malformed",  # an Authorization header that is no bearer token
            "unknown",  # a token that is not on the list
            "throttled",  # not looked at: the client was wrong too often
            "forbidden",  # a known token whose role is too low
            "cross_site",  # sent by another site's page
        )
    },
)

_LOCAL = Identity("development", "admin")
_LONGEST = 4096
_REMEMBERED = 1024
_SCOPE_KEY = "bedplate.identity"


class Authenticator:
    """Tells who asks and whether they may.

    Outside development every request needs a token. In development a caller on the same machine is an admin
    without one, unless :attr:`AuthSettings.development` says otherwise; whoever comes over the network still needs
    a token, so binding a development server to a public address gives nothing away.

    A client that presents more wrong tokens than :attr:`AuthSettings.failures` in a minute is answered 429 without a
    look at its token. A token that this client has used before still passes, so nobody behind the same proxy can
    lock a scraper out.

    :param environment: where the service runs; it decides what is open, also before the service has started.
    """

    def __init__(
        self, settings: AuthSettings | None = None, *, environment: Environment, clock: Clock | None = None
    ) -> None:
        self.settings = settings or AuthSettings()
        self.environment: Environment = environment
        self._clock: Clock = clock or SystemClock()
        self._table = TokenTable(self.settings.tokens)
        self._throttle = Throttle(self.settings.failures)
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._cells: dict[str, BoundCounter] = {}
        self._log: Logger | None = None
        self._spec = Spec(
            kind="auth",
            summary="Lets in whoever carries a token with the right role.",
            settings=self.settings,
            metrics=(ATTEMPTS,),
            alerts=_ALERTS,
            panels=_PANELS,
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything: development, and told so."""
        return self.environment == "development" and self.settings.development == "everyone"

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Count attempts from now on; who is let in does not depend on it."""
        self._clock, self._log = host.clock, host.log
        outcomes = ATTEMPTS.labels[0].values or ()
        self._cells = {outcome: host.bind(ATTEMPTS, outcome=outcome) for outcome in outcomes}
        yield
        self._cells, self._log = {}, None

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse to run for real without tokens, or with ones that can be guessed."""
        if environment not in ("staging", "production"):
            return
        if not len(self._table):
            yield Refusal(
                "auth",
                f"No token is configured in {environment}, so nobody could read metrics or health.",
                "Set BEDPLATE_TOKENS to name:role:token; roles are metrics, viewer, operator and admin.",
            )
        for token in self.settings.tokens:
            if token.short:
                yield Refusal(
                    "auth",
                    f"The token of {token.name} has fewer than {MINIMUM_LENGTH} characters.",
                    "Make a random one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
                )

    def replace(self, tokens: Iterable[Token]) -> None:
        """Make ``tokens`` the valid ones from now on; those that are gone stop working at once."""
        self._table = TokenTable(tokens)

    def watch(self, token: str) -> Callable[[], bool]:
        """Return what tells whether a token is still valid and of the same role; the token itself is not kept."""
        entry = self._table.find(token)
        return lambda: entry is not None and entry in self._table

    def watch_proof(self, proof: str, role: Grant) -> Callable[[], bool] | None:
        """Return what :meth:`watch` does, by a digest of the token; None when it is not valid now as what it was."""
        entry = self._table.proven(proof)
        return (lambda: entry in self._table) if entry is not None and entry.role == role else None

    def holder(self, token: str) -> Identity | None:
        """Return whose token this is, without counting; for one that has been accepted elsewhere in this process."""
        entry = self._table.find(token)
        return Identity(entry.name, entry.role) if entry is not None else None

    def actor(self, scope: Scope) -> Actor | None:
        """Return who asks in the roles that actions know, or None; a scraper is nobody here."""
        identity = self.identify(scope)
        return identity.actor if isinstance(identity, Identity) else None

    def identify(self, scope: Scope) -> Identity | Problem:
        """Return who asks, or the problem to answer: 401, or 429 when the client was wrong too often.

        The answer is kept in the scope, so asking twice neither costs nor counts twice.
        """
        known: Identity | Problem | None = scope.get(_SCOPE_KEY)
        if known is None:
            known = scope[_SCOPE_KEY] = self._identify(scope)
        return known

    def authorize(self, scope: Scope, needed: Grant) -> Identity | Problem:
        """Return who asks if they hold ``needed`` at least, else the problem to answer.

        Whatever is not a plain read is refused when a browser sends it on behalf of another site.
        """
        if not is_safe(scope) and is_cross_site(scope):
            self._count("cross_site")
            return Problem(status=403, detail="Another site's page may not do this; send it from the service's own.")
        identity = self.identify(scope)
        if identity is _MISSING:
            self._count("missing")
        if isinstance(identity, Identity) and not allows(identity.grant, needed):
            self._count("forbidden")
            return Problem(
                status=403,
                detail=f"{identity.name} is {identity.grant}; this needs {needed}.",
                headers={"WWW-Authenticate": f'Bearer realm="bedplate", error="insufficient_scope", scope="{needed}"'},
            )
        return identity

    def require(self, needed: Grant) -> Callable[[HTTPConnection], Coroutine[Any, Any, Identity]]:
        """Return a FastAPI dependency: ``Depends(auth.require("operator"))`` gives the identity or answers 401 or 403.

        A WebSocket is refused in the same way before it opens.
        """

        async def identity(connection: HTTPConnection) -> Identity:
            outcome = self.authorize(connection.scope, needed)
            if isinstance(outcome, Problem):
                raise HTTPException(outcome.status, outcome.detail, dict(outcome.headers))
            return outcome

        return identity

    def protect(self, app: ASGIApp, needed: Grant) -> ASGIApp:
        """Return ``app`` behind the need for a grant."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            outcome = self.authorize(scope, needed)
            if isinstance(outcome, Problem):
                await reply_problem(scope, receive, send, outcome)
            else:
                await app(scope, receive, send)

        return guarded

    def _identify(self, scope: Scope) -> Identity | Problem:
        credentials = header(scope, b"authorization")
        if credentials is None:
            if self.is_open or self._is_at_home(scope):
                return self._accept(_LOCAL)
            return _MISSING
        scheme, _, presented = credentials.partition(" ")
        presented = presented.strip()
        if scheme.lower() != "bearer" or not presented or len(presented) > _LONGEST:
            self._count("malformed")
            return _unauthorized("The Authorization header is not a bearer token.", "invalid_request")
        client = client_key((scope.get("client") or ("unknown",))[0])
        return self._verify(presented, client, scope)

    def _verify(self, presented: str, client: str, scope: Scope) -> Identity | Problem:
        token = self._table.find(presented)
        now = self._clock.monotonic()
        wait = self._throttle.wait(client, now)
        if wait and (token is None or (client, token.digest.hex()) not in self._seen):
            self._count("throttled")
            return Problem(
                status=429,
                detail="Too many wrong tokens from this client.",
                headers={"Retry-After": str(int(wait) + 1)},
            )
        if token is None:
            self._throttle.fail(client, now)
            self._count("unknown")
            if self._log is not None:
                self._log.warning("auth_token_unknown", client=client, path=scope.get("path", ""))
            return _unauthorized("The token is not valid here.", "invalid_token")
        self._remember(client, token)
        return self._accept(Identity(token.name, token.role))

    def _remember(self, client: str, token: Token) -> None:
        key = (client, token.digest.hex())
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _is_at_home(self, scope: Scope) -> bool:
        return self.environment == "development" and self.settings.development == "loopback" and is_local(scope)

    def _accept(self, identity: Identity) -> Identity:
        self._count("accepted")
        return identity

    def _count(self, outcome: str) -> None:
        cell = self._cells.get(outcome)
        if cell is not None:
            cell.inc()


def vouched(scope: Scope, identity: Identity) -> None:
    """Say who asks, for a request that is made in this process on behalf of somebody who has been let in already."""
    scope[_SCOPE_KEY] = identity


def _unauthorized(detail: str, error: str = "") -> Problem:
    challenge = 'Bearer realm="bedplate"' + (f', error="{error}"' if error else "")
    return Problem(status=401, detail=detail, headers={"WWW-Authenticate": challenge})


_MISSING = _unauthorized("Send a token: Authorization: Bearer <token>.")
_RUNBOOK = runbook(__file__)

_ALERTS = (
    Alert(
        name="AuthTokenGuessing",
        expr=f"sum(rate({ATTEMPTS(outcome='unknown')}[5m])) + sum(rate({ATTEMPTS(outcome='throttled')}[5m])) > 0.1",
        summary="Somebody keeps presenting tokens that do not exist: a guess, or a client with an outdated token.",
        for_="10m",
        fires=(
            Series(str(ATTEMPTS(outcome="unknown")), "0+30x30"),
            Series(str(ATTEMPTS(outcome="throttled")), "0+30x30"),
        ),
        quiet=(
            Series(str(ATTEMPTS(outcome="unknown")), "0 1 1 1 2x30"),
            Series(str(ATTEMPTS(outcome="throttled")), "0x30"),
        ),
    ),
)

_PANELS = (
    Panel(
        title="Requests by what became of their credentials",
        expr=(("{{outcome}}", f"sum by (outcome) (rate({ATTEMPTS}[5m]))"),),
        unit="reqps",
        row="Access",
    ),
)

"""A management API over doubles and, where they are cheap, real stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, SecretStr
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bedplate.declarations import Action, Actor, Alert, Check, Panel, Probe, Routes, Runbook
from bedplate.degradation import Degradation
from bedplate.metric import Counter, Gauge, Histogram
from bedplate.monitor.auth import Authenticator, AuthSettings, ProblemRouter, secure
from bedplate.monitor.health import Health, HealthSettings
from bedplate.monitor.management import Management, ManagementSettings
from bedplate.telemetry.errors.store import ErrorStore
from bedplate.telemetry.logs.tail import LogTail
from bedplate.telemetry.metrics.registry import Registry
from bedplate.telemetry.traces.store import TraceStore
from tests.unit.monitor.monitor_fakes import FakeHost, Part, client, view

TOKENS = {
    "metrics": "scraper-token-12345",
    "viewer": "viewer-token-123456",
    "operator": "operator-token-1234",
    "admin": "admin-token-1234567",
}
HITS = Counter("cache_hits_total", "Hits.", {"cache": ("reports", "balances")})
AGE = Histogram("cache_age_seconds", "Age.", unit="seconds", buckets=(1, 10))
SIZE = Gauge("cache_size_bytes", "Size.", {"cache": 5}, unit="bytes", merge="max")


class CacheSettings(BaseModel, frozen=True):
    ttl: float = 300.0
    password: SecretStr = SecretStr("hunter2hunter2")
    url: str = "redis://u:hunter2hunter2@cache:6379/0"


class FlushParameters(BaseModel):
    pattern: str
    secret: SecretStr = SecretStr("")


class Cache:
    """A component that has everything a component can have."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self.failure: BaseException | None = None
        self.flushed: list[tuple[FlushParameters, Actor]] = []
        self.spec = replace(
            Part("cache", name="reports", summary="Keeps reports.").spec,
            needs=(Part("redis"),),
            settings=CacheSettings(),
            degradation=Degradation(policy="serve", summary="Serves from memory."),
            metrics=(HITS, AGE, SIZE),
            probes=(Probe(name="ping", check=self.ping, interval=10),),
            alerts=(
                Alert(name="CacheCold", expr=f"rate({HITS}[5m]) < 1", summary="Few hits.", severity="info"),
                Alert(name="CacheBig", expr=f"{SIZE} > 1e9", summary="It is big."),
            ),
            panels=(Panel(title="Hits", expr=(("{{cache}}", f"rate({HITS}[5m])"),)),),
            checks=(Check(name="stats", path="/cache/stats"),),
            runbook=Runbook(text="# Cache\n\n## CacheCold\n\nWarm it.\n"),
        )

    async def ping(self) -> str:
        return "PONG"

    def lifespan(self, host: Any) -> Any:
        raise AssertionError("not run here")

    def actions(self) -> Sequence[Action]:
        return (
            Action(
                name="flush",
                summary="Drop entries.",
                run=self.flush,
                parameters=FlushParameters,
                refused=lambda: self.refused,
            ),
            Action(name="peek", summary="Look.", run=self.peek, role="viewer"),
            Action(name="erase", summary="Drop all.", run=self.peek, role="admin", danger=True),
        )

    async def flush(self, parameters: FlushParameters, actor: Actor) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        self.flushed.append((parameters, actor))
        return {"dropped": 3, "parameters": parameters}

    async def peek(self, parameters: None, actor: Actor) -> str:
        return actor.name

    def routes(self) -> Sequence[Routes]:
        async def answer(request: Any) -> PlainTextResponse:
            return PlainTextResponse("component")

        return (
            Routes(routes=[Route("/stats", answer), Route("/{key}", answer, methods=["DELETE"])], prefix="/cache"),
            Routes(routes=[Route("/stats", answer)], prefix="/cache", management=False, access="operator"),
        )


class Api:
    """Everything behind one application, put together as a service does it."""

    def __init__(self, environment: Any = "production", **settings: Any) -> None:
        tokens = ",".join(f"{role}-name:{role}:{token}" for role, token in TOKENS.items())
        self.auth = Authenticator(AuthSettings(tokens=tokens), environment=environment)  # type: ignore[arg-type]
        self.health = Health(HealthSettings(start_jitter=0, disk_paths=(), memory_available_share=0, memory_share=1))
        self.registry = Registry("ledger")
        self.registry.declare([HITS, AGE])
        self.host = FakeHost(environment=environment)
        self.traces, self.errors, self.logs = TraceStore(), ErrorStore(clock=self.host.clock), LogTail()
        self.cache = Cache()
        self.management = Management(
            ManagementSettings(**settings),
            registry=self.registry,
            health=self.health,
            auth=self.auth,
            logs=self.logs,
            traces=self.traces,
            errors=self.errors,
            scoped=lambda expr: f'<job="ledger">{expr}',
        )
        self.host.components = [
            view(self.health),
            view(self.cache, "degraded", "redis://u:hunter2hunter2@h is away"),
            view(self.management),
        ]
        self.app = self.mount([*self.management.routes(), *self.cache.routes()])

    def mount(self, routes: Iterable[Routes], prefix: str = "/monitoring") -> ProblemRouter:
        secured = [secure(each, self.auth, prefix if each.management else "") for each in routes]
        return ProblemRouter(
            [route for each in secured for route in each], default=self.auth.protect(ProblemRouter([]), "viewer")
        )

    def client(self, role: str = "") -> Any:
        return client(self.app, token=TOKENS.get(role, ""))

    async def get(self, path: str, role: str = "viewer", **options: Any) -> Any:
        return await self.ask("GET", path, role, **options)

    async def ask(self, method: str, path: str, role: str = "viewer", **options: Any) -> Any:
        async with self.client(role) as http:
            return await http.request(method, path if path.startswith("/") else f"/monitoring/{path}", **options)

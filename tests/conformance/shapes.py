"""Stubs of every shape that a component can have; the contract must fit them all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bedplate.component import Component, Host, Spec
from bedplate.declarations import Action, Actor, Alert, Panel, Probe, Routes, Runbook, Series
from bedplate.degradation import Degradation
from bedplate.metric import Counter, Gauge
from bedplate.service.lease import HostLease

COMMANDS = Counter("stub_redis_commands_total", "Commands sent.", {"redis": 5})
HITS = Counter("stub_cache_hits_total", "Hits.", {"cache": 20})
MISSES = Counter("stub_cache_misses_total", "Misses.", {"cache": 20})
ENABLED = Gauge("stub_flags_enabled", "Flags that are on.")
DONE = Counter("stub_jobs_done_total", "Jobs done.", {"role": ("web", "worker", "beat", "ops")})
STEP = Gauge("stub_move_step", "The step of the move.", merge="max")


class Redis:
    """A shared connection with a critical probe."""

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.alive = True
        self.opened = 0

    @property
    def spec(self) -> Spec:
        return Spec(
            kind="redis",
            name=self.name,
            summary="A connection to Redis.",
            scope="cluster",
            degradation=Degradation(policy="refuse", summary="Calls fail at once."),
            metrics=(COMMANDS(redis=self.name),),
            probes=(Probe(name="ping", check=self.ping, interval=5, failures=2),),
        )

    async def ping(self) -> str:
        if not self.alive:
            raise ConnectionError("connection refused")
        return "PONG"

    async def call(self) -> None:
        self._commands.inc()
        await asyncio.sleep(0)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self._commands = host.bind(COMMANDS)
        self.opened += 1
        yield
        self.opened -= 1


class CacheSettings(BaseModel):
    model_config = ConfigDict(frozen=True)
    ttl: float = Field(300.0, gt=0)


class Cache:
    """Several of one kind on one connection; degrades; has an alert that is scoped to its name; has routes."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.redis = redis
        self.name = name
        self.settings = CacheSettings()

    @property
    def spec(self) -> Spec:
        hits, misses = HITS(cache=self.name), MISSES(cache=self.name)
        return Spec(
            kind="cache",
            name=self.name,
            summary="Answers that are dear to compute.",
            needs=(self.redis,),
            settings=self.settings,
            scope="cluster",
            degradation=Degradation(policy="serve", summary="Serves from memory, marked stale."),
            metrics=(hits, misses),
            alerts=(
                Alert(
                    name="CacheHitRateLow",
                    expr=f"rate({hits}[5m]) / (rate({hits}[5m]) + rate({misses}[5m])) < 0.7",
                    summary="Pages are slow because few answers come from the cache.",
                    fires=(Series(str(hits), "0+1x20"), Series(str(misses), "0+9x20")),
                    quiet=(Series(str(hits), "0+9x20"), Series(str(misses), "0+1x20")),
                ),
            ),
            panels=(Panel(title="Hits", expr=f"rate({hits}[5m])"),),
            runbook=Runbook(text="## CacheHitRateLow\nLook at the keys that miss.\n"),
        )

    def routes(self) -> Sequence[Routes]:
        async def stats(request: Request) -> JSONResponse:
            return JSONResponse({"cache": self.name})

        return [Routes(routes=[Route("/stats", stats)], prefix=f"/cache/{self.name}", management=False)]

    async def get(self, hit: bool) -> None:
        await self.redis.call()
        (self._hits if hit else self._misses).inc()

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        assert self.redis.opened == 1, "what it needs must run before it and after it"
        self._hits, self._misses = host.bind(HITS), host.bind(MISSES)
        host.spawn("watch", lambda: self._watch(host))
        yield
        assert self.redis.opened == 1

    async def _watch(self, host: Host) -> None:
        while True:
            host.degraded(None if self.redis.alive else "Redis is away; serving from memory")
            await host.clock.sleep(1)


class Database:
    """Nothing but something to need."""

    @property
    def spec(self) -> Spec:
        return Spec(kind="database", summary="Where records live.")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield


class Flags:
    """Durable state in a database, with an action that takes parameters."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.on: set[str] = set()

    @property
    def spec(self) -> Spec:
        return Spec(kind="flags", summary="Features that can be switched.", needs=(self.database,), metrics=(ENABLED,))

    class Toggle(BaseModel):
        flag: str = Field(min_length=1)

    def actions(self) -> Sequence[Action]:
        return [
            Action(name="toggle", summary="Switch a flag.", parameters=self.Toggle, run=self.toggle, role="operator")
        ]

    async def toggle(self, parameters: Toggle, actor: Actor) -> dict[str, bool]:
        self.on ^= {parameters.flag}
        self._enabled.set(len(self.on))
        return {parameters.flag: parameters.flag in self.on}

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self._enabled = host.bind(ENABLED)
        yield


class Jobs:
    """Work that is done in processes of another role."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @property
    def spec(self) -> Spec:
        return Spec(kind="jobs", summary="Work done behind requests.", needs=(self.redis,), metrics=(DONE,))

    def work(self) -> None:
        self._done.inc()

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self._done = host.bind(DONE, role=host.role)
        yield


class Move:
    """A long state machine with a button: the button writes intent, one leased loop of the host acts on it."""

    STEPS = ("idle", "copying", "switched")

    def __init__(self) -> None:
        self.host: Host | None = None

    @property
    def spec(self) -> Spec:
        return Spec(kind="move", summary="Moves a table while it is in use.", metrics=(STEP,))

    def actions(self) -> Sequence[Action]:
        return [Action(name="start", summary="Start the move.", run=self.start, refused=self.refused, danger=True)]

    def _step(self) -> str:
        assert self.host is not None
        path = self.host.directory / "move.step"
        return path.read_text() if path.exists() else "idle"

    def refused(self) -> str | None:
        step = self._step()
        return None if step == "idle" else f"The move is {step}."

    async def start(self, parameters: None, actor: Actor) -> str:
        assert self.host is not None
        (self.host.directory / "move.intent").write_text(actor.name)
        return "The move will start."

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.host = host
        gauge = host.bind(STEP)

        async def act() -> None:
            intent, step = host.directory / "move.intent", host.directory / "move.step"
            (host.directory / f"move.leader.{os.getpid()}").touch()
            while True:
                current = self._step()
                if current == "idle" and intent.exists():
                    step.write_text("copying")
                elif current == "copying":
                    step.write_text("switched")
                gauge.set(self.STEPS.index(self._step()))
                await host.clock.sleep(0.05)

        host.spawn("act", act, lease=HostLease("move", poll=0.05))
        yield


def everything() -> list[Component]:
    redis = Redis()
    return [Cache(redis, "reports"), Cache(redis, "balances"), Flags(Database()), Jobs(redis), Move()]

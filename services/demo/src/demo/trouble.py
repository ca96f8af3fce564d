"""Trouble on purpose: faults that come by turns, so that there is something to be woken by."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bedplate.component import Host, Spec
from bedplate.declarations import Action, Actor, Panel, Probe
from bedplate.metric import Gauge
from bedplate.problems import BedplateError

__all__ = ["FAULTS", "Fault", "RateSourceError", "Trouble"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    :ivar alert: the alert that it must fire. :ivar summary: what happens, for whoever reads the demo's lines.
    """

    name: str
    alert: str
    summary: str


#: In the order of their turns.
FAULTS = (
    Fault("bank-fails", "HighErrorRate", "The bank of the exchange rates fails, and everybody asks for rates."),
    Fault("spoilt-data", "HighMissingValueRate", "A partner sends tables in which two of three cities are missing."),
    Fault("bank-slow", "HighRequestLatency", "The bank answers after more than a second."),
    Fault("fraud-wave", "HighFraudRate", "Every second transaction is fraudulent."),
    Fault("bank-unreachable", "HealthProbeDown", "The probe of the bank fails; the service is degraded."),
)

ACTIVE = Gauge(
    "demo_fault_active",
    "Whether a fault is made up at this moment.",
    {"fault": tuple(fault.name for fault in FAULTS)},
    merge="max",
)


class RateSourceError(Exception):
    """The bank that exchange rates come from did not answer; it is made up, and so are its failures."""


def _known(name: str) -> str:
    if all(fault.name != name for fault in FAULTS):
        raise ValueError(f"there are {', '.join(fault.name for fault in FAULTS)}")
    return name


class FaultName(BaseModel):
    """Which fault."""

    model_config = ConfigDict(extra="forbid")

    fault: Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [fault.name for fault in FAULTS]})]


class Trouble:
    """A made-up bank, and faults that come by turns or by a button.

    :param first: seconds until the first fault begins; None for none by itself. :param lasts: how long each lasts.
    :param rest: seconds between the end of one and the begin of the next.
    """

    def __init__(self, *, first: float | None = 30.0, lasts: float = 45.0, rest: float = 45.0) -> None:
        self._first = first
        self._lasts = lasts
        self._rest = rest
        self._host: Host | None = None
        self._active: frozenset[str] = frozenset()

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="trouble",
            summary="Makes up faults by turns, so that alerts have something to tell.",
            metrics=(ACTIVE,),
            probes=(
                Probe(
                    name="bank",
                    check=self._reach,
                    summary="The bank of the exchange rates can be reached.",
                    critical=False,
                    interval=1.0,
                    failures=1,
                ),
            ),
            panels=(
                Panel(
                    title="Faults that are made up",
                    expr=(("{{fault}}", f"max by (fault) ({ACTIVE})"),),
                    kind="state",
                    summary="What is wrong on purpose at this moment?",
                ),
            ),
        )

    @property
    def active(self) -> frozenset[str]:
        """The names of the faults that are there now; whoever makes traffic acts upon them, from any thread."""
        return self._active

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Let the faults take their turns."""
        self._host = host
        for fault in FAULTS:
            host.bind(ACTIVE, fault=fault.name).set(0)
        if self._first is not None:
            host.spawn("turns", self._take_turns)
        try:
            yield
        finally:
            self._host, self._active = None, frozenset()

    def actions(self) -> Sequence[Action]:
        """Return the buttons that begin and end a fault."""

        async def begin(parameters: Any, actor: Actor) -> dict[str, Any]:
            return self._turn(parameters.fault, on=True)

        async def end(parameters: Any, actor: Actor) -> dict[str, Any]:
            return self._turn(parameters.fault, on=False)

        return (
            Action(name="begin", summary="Begin a made-up fault; it lasts until it is ended.", run=begin,
                   parameters=FaultName),
            Action(name="end", summary="End a made-up fault.", run=end, parameters=FaultName),
        )  # fmt: skip

    def routes_of_the_bank(self) -> APIRouter:
        """Return the endpoint that asks the made-up bank."""
        router = APIRouter(prefix="/demo", tags=["made-up trouble"])
        numbers = itertools.count(1)

        @router.get("/exchange-rate")
        async def exchange_rate(currency: str = "GBP") -> dict[str, str]:
            """Ask a bank that is made up: of twelve answers the third fails and the seventh takes over a second."""
            number = next(numbers) % 12
            slow = number == 7 or "bank-slow" in self._active
            await asyncio.sleep(1.2 if slow else 0.005 * number)
            if number == 3 or "bank-fails" in self._active:
                raise RateSourceError(f"The bank did not answer when asked for {currency}.")
            return {"currency": currency, "per_euro": f"{0.84 + 0.003 * number:.4f}"}

        @router.websocket("/exchange-rates")
        async def exchange_rates(socket: WebSocket) -> None:
            """Send a rate twice a second until the client has seen enough."""
            await socket.accept()
            with contextlib.suppress(WebSocketDisconnect):
                for number in itertools.count():
                    await socket.send_json({"currency": "GBP", "per_euro": f"{0.84 + 0.003 * (number % 12):.4f}"})
                    await asyncio.sleep(0.5)

        return router

    def _turn(self, name: str, *, on: bool) -> dict[str, Any]:
        if self._host is None:
            raise BedplateError("The demo does not run.", "Start it first.")
        self._active = self._active | {name} if on else self._active - {name}
        self._host.bind(ACTIVE, fault=name).set(1 if on else 0)
        self._host.log.warning("fault_begun" if on else "fault_ended", fault=name)
        return {"active": sorted(self._active)}

    async def _take_turns(self) -> None:
        assert self._host is not None
        assert self._first is not None
        await self._host.clock.sleep(self._first)
        for fault in itertools.cycle(FAULTS):
            self._turn(fault.name, on=True)
            await self._host.clock.sleep(self._lasts)
            self._turn(fault.name, on=False)
            await self._host.clock.sleep(self._rest)

    async def _reach(self) -> str:
        if "bank-unreachable" in self._active:
            raise RateSourceError("The bank cannot be reached.")
        return "reachable"

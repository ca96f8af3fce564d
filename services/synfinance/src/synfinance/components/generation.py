"""Generation of labelled card transactions, batch after batch, by one world of people and cards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Annotated, Any, Final

import polars as pl
from pydantic import Field

from bedplate.component import BoundCounter, BoundGauge, BoundHistogram, Host, Spec
from bedplate.declarations import Action
from bedplate.telemetry.traces import traced
from synfinance.components.compute import Compute
from synfinance.components.places import place_in
from synfinance.components.rolling import Rolling, RollingSettings, reset_action
from synfinance.components.signals.generation import ALERTS, DURATION, GENERATED, METRICS, PANELS, RATE, RUNBOOK
from synfinance.generator import FRAUD_TYPES, Generator, GeneratorConfig

__all__ = ["Generation", "GenerationSettings"]

#: Batches, and rows, after which the stretch of the next process begins.
STRETCH: Final = 1_000_000_000


class GenerationSettings(RollingSettings):
    """The synthetic world and its past."""

    seed: Annotated[int, Field(ge=0)] = 7
    """What the world is drawn from: equal seeds give equal people, cards and transactions."""

    customers: Annotated[int, Field(ge=1, le=1_000_000)] = 300
    """People in the world; half of them have a second card. Fewer people have a denser past each."""

    fraud_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """Share of fraud where a request does not say how many."""

    history_rows: Annotated[int, Field(ge=100, le=2_000_000)] = 20_000
    """Transactions of the world's past: what the detector learns from, what cards are known by, what drift is
    measured against."""


class Generation:
    """Makes transactions of one synthetic world; each batch goes on where the one before ended.

    The first batch is the past (:attr:`history`), made at the start.
    """

    def __init__(self, settings: GenerationSettings | None = None, *, compute: Compute) -> None:
        self.settings = settings or GenerationSettings()
        self._compute = compute
        self._generator: Generator | None = None
        self._past: pl.DataFrame | None = None

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="generation",
            summary="Generates labelled card transactions with injected fraud.",
            needs=(self._compute,),
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @property
    def config(self) -> GeneratorConfig:
        """The generator's configuration: whoever has it can make the same past."""
        settings = self.settings
        return GeneratorConfig(
            rows=settings.history_rows,
            seed=settings.seed,
            customers=settings.customers,
            fraud_rate=settings.fraud_rate,
        )

    @property
    def history(self) -> pl.DataFrame:
        """The past of the world, oldest first, with labels.

        :raises RuntimeError: before the start.
        """
        if self._past is None:
            raise RuntimeError("There is no history before the component has started.")
        return self._past

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Make the world and its past, then generate on demand."""
        self._rate: BoundGauge = host.bind(RATE)
        self._duration: BoundHistogram = host.bind(DURATION)
        self._counters: dict[str, BoundCounter] = {
            name: host.bind(GENERATED, fraud_type=name) for name in ("none", *FRAUD_TYPES)
        }
        self._rolling: Rolling[str] = Rolling(host, "generation", self.settings.window, self._show)
        if host.role == "ops":
            yield
            return
        with place_in(host.directory, "generation") as place:
            generator, self._past = await self._compute.run(past_of, self.config)
            # Workers share the world and its past; from there on each goes its own way.
            generator.skip(place * STRETCH, place * STRETCH)
            self._generator = generator
            yield
            self._generator = self._past = None

    async def simulate(self, rows: int, fraud: int | None = None) -> tuple[pl.DataFrame, float]:
        """Return the next ``rows`` transactions and the seconds that they took.

        Exactly ``fraud`` of them are fraudulent, or the configured share.

        :raises ValueError: when fewer than 1 row, or more fraud than half of the rows, is asked for.
        :raises Busy: when too much work is waiting.
        """
        if self._generator is None:
            raise RuntimeError("Transactions are generated while the component runs, in web processes.")
        frame, seconds = await self._compute.run(_batch, self._generator, rows, fraud)
        self._duration.observe(seconds)
        for name, count in _by_type(frame).items():
            self._counters[name].inc(count)
        self._rolling.add("rows", frame.height)
        self._show()
        return frame, seconds

    def actions(self) -> Sequence[Action]:
        """Return the button that forgets the window."""
        return (reset_action("Start the generation rate anew.", lambda: self._rolling.reset()),)

    def _show(self) -> None:
        self._rate.set(self._rolling.rate("rows"))


def past_of(config: GeneratorConfig) -> tuple[Generator, pl.DataFrame]:
    """Return a generator and its first batch, the past; the same wherever it is made."""
    generator = Generator(config)
    return generator, generator.batch(config.rows)


@traced("generate")
def _batch(generator: Generator, rows: int, fraud: int | None) -> tuple[pl.DataFrame, float]:
    begun = perf_counter()
    return generator.batch(rows, fraud), perf_counter() - begun


def _by_type(frame: pl.DataFrame) -> dict[str, int]:
    counts: dict[str, Any] = dict(frame["fraud_type"].cast(pl.String).value_counts().iter_rows())
    return counts

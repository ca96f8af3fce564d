"""The generator: a run as a stream of frames in order of time, or batch after batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from synfinance.generator.config import GeneratorConfig, fraud_in
from synfinance.generator.episodes import play
from synfinance.generator.ordinary import ordinary
from synfinance.generator.plan import plan
from synfinance.generator.population import Population
from synfinance.generator.rows import Columns, Rows
from synfinance.generator.season import Season

BLOCK_ROWS: Final = 1 << 17
"""Honest transactions made at once. It is part of what a seed means: other blocks would be other rows."""


class Generator:
    """Makes labelled card transactions.

    Equal configurations make equal rows, whatever ``chunk_rows`` they are asked for in. Memory is bounded by the
    population and one block of :data:`BLOCK_ROWS` rows. Frames and batches may be asked for from several threads.
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        self.config = config or GeneratorConfig()
        self.population = Population.of(self.config.customer_count, self.config.merchant_count, self.config.seed)
        self._columns = Columns(self.population)
        self._lock = threading.Lock()
        self._batches = 0
        self._batched_rows = 0
        self._clock = self.config.start

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns of every frame."""
        return self._columns.schema

    def frames(self, chunk_rows: int | None = None) -> Iterator[pl.DataFrame]:
        """The whole run, ordered by time, in frames of ``chunk_rows`` rows (the last may have fewer).

        Without ``chunk_rows`` a frame is what is made at once, about :data:`BLOCK_ROWS` rows.

        Raises:
            ValueError: ``chunk_rows`` is not positive.
        """
        if chunk_rows is not None and chunk_rows < 1:
            raise ValueError(f"chunk_rows must be at least 1, not {chunk_rows}")
        config = self.config
        days = config.days or config.span_days(config.rows)
        blocks = self._run(config.rows, config.fraud_count, config.start, days, stream=0)
        return (
            _numbered_frames(self._columns, blocks)
            if chunk_rows is None
            else _sliced(_numbered_frames(self._columns, blocks), chunk_rows)
        )

    def batch(self, rows: int, fraud: int | None = None) -> pl.DataFrame:
        """The next ``rows`` transactions: later than the batch before, by the same people with the same cards.

        Exactly ``fraud`` of them are fraudulent, or the configured rate, rounded. The n-th batch depends on the
        configuration and on the sizes asked for so far.

        Raises:
            ValueError: ``rows`` is not positive, or ``fraud`` is not between 0 and half of it.
        """
        if rows < 1:
            raise ValueError(f"rows must be at least 1, not {rows}")
        count = fraud_in(rows, self.config.fraud_rate) if fraud is None else fraud
        if not 0 <= count <= rows // 2:
            raise ValueError(f"fraud must be 0 to {rows // 2:,}, half of the rows, not {count:,}")
        days = self.config.span_days(rows)
        with self._lock:
            self._batches += 1
            stream, first_id, start = self._batches, self._batched_rows + 1, self._clock
            self._batched_rows += rows
            self._clock = start + timedelta(days=days)
        blocks = self._run(rows, count, start, days, stream=stream)
        return pl.concat(_numbered_frames(self._columns, blocks, first_id), rechunk=False)

    def skip(self, batches: int, rows: int) -> None:
        """Go on as if so many more batches, of so many rows together, had been made just now.

        Processes that share a world each skip to a stretch of their own, so that none repeats another's transactions.
        """
        with self._lock:
            self._batches += batches
            self._batched_rows += rows

    def _run(self, rows: int, fraud: int, start: datetime, days: float, *, stream: int) -> Iterator[Rows]:
        """Blocks of transactions ordered by time, together exactly ``rows`` with ``fraud`` fraudulent ones."""
        world = self.population
        season = Season(start if start.tzinfo else start.replace(tzinfo=UTC), days)
        seed = (self.config.seed, 0x5F, stream)
        episodes = plan(world, season, _rng(*seed, 0), fraud, self.config.fraud_types)
        honest = rows - fraud
        count = -(-honest // BLOCK_ROWS)
        edges = [honest * index // count for index in range(count + 1)]
        times = season.time_at(np.array(edges) / honest).tolist()
        times[0], times[-1] = season.start, season.end
        for index in range(count):
            mass = (edges[index] / honest, edges[index + 1] / honest)
            block = ordinary(world, season, _rng(*seed, index + 1), mass, edges[index + 1] - edges[index])
            begin, end = times[index], times[index + 1]
            played = play(world, episodes.near(begin, end))
            inside = (played.time >= begin) & (played.time < end)
            yield Rows.joined(block, played.take(inside))


def _numbered_frames(columns: Columns, blocks: Iterator[Rows], first_id: int = 1) -> Iterator[pl.DataFrame]:
    for block in blocks:
        yield columns.frame(block, first_id)
        first_id += len(block)


def _sliced(frames: Iterator[pl.DataFrame], size: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of ``size`` rows."""
    held: list[pl.DataFrame] = []
    rows = 0
    for frame in frames:
        start = 0
        while rows + frame.height - start >= size:
            part = frame.slice(start, size - rows)
            start += part.height
            yield pl.concat([*held, part]) if held else part
            held, rows = [], 0
        if start < frame.height:
            held.append(frame.slice(start))
            rows += frame.height - start
    if held:
        yield pl.concat(held)


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))

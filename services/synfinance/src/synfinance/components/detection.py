"""Fraud detection: scores transactions with a trained model, and says how well it does."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from bedplate.component import BoundCounter, BoundHistogram, Host, Spec
from bedplate.declarations import Action
from bedplate.metric import OTHER
from bedplate.telemetry.traces import span, traced
from synfinance.components.compute import Compute
from synfinance.components.generation import Generation
from synfinance.components.model import DetectionSettings, Model, State
from synfinance.components.profiles import CardHistory, Recall
from synfinance.components.rolling import reset_action
from synfinance.components.scoreboard import Labels, Scoreboard
from synfinance.components.signals.fraud import (
    ALERTS,
    ANOMALIES,
    CONFIDENCE,
    DETECTIONS,
    FEATURES,
    METRICS,
    MODEL_MISSING,
    PANELS,
    PREDICTION,
    RUNBOOK,
    TYPES,
)
from synfinance.fraud import Detector, Scores
from synfinance.generator import SEVERITIES
from synfinance.transactions import scorable

__all__ = ["DetectionSettings", "FraudDetection", "Scored"]


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a table and what they rest on."""

    scores: Scores
    recall: Recall
    trained: bool
    """Whether a trained model gave them; else they tell anomalies alone."""
    labels: Labels | None
    notes: tuple[str, ...]
    """What had to be assumed of the table."""


class FraudDetection:
    """Scores tables of transactions against the past of their cards.

    Without a model it starts with a detector of anomalies, and trains one on the generated past in a process beside
    it; of several workers one trains, and the others load what it made.
    """

    def __init__(
        self,
        settings: DetectionSettings | None = None,
        *,
        compute: Compute,
        generation: Generation,
        cards: CardHistory,
    ) -> None:
        self.settings = settings or DetectionSettings()
        self._compute = compute
        self._generation = generation
        self._cards = cards
        self._model = Model(self.settings, compute=compute, generation=generation, cards=cards)

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="fraud_detection",
            summary="Scores card transactions for fraud and anomalies.",
            needs=(self._compute, self._generation, self._cards),
            settings=self.settings,
            metrics=METRICS,
            probes=(self._model.probe,),
            # Whoever wants no model need not be told that there is none.
            alerts=(MODEL_MISSING, *ALERTS) if self._model.wanted else ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @property
    def state(self) -> State:
        """Where the model comes from, or why there is none."""
        return self._model.state

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Load the model, or begin without and train one."""
        self._bind(host)
        self._board = Scoreboard(host, self.settings.window)
        await self._model.start(host)
        yield
        self._model.stop()

    def _bind(self, host: Host) -> None:
        self._host = host
        for kind in TYPES:
            # They start at 0, so that the first alert of a kind is an increase.
            host.bind(CONFIDENCE, fraud_type=kind)
            for severity in SEVERITIES:
                host.bind(DETECTIONS, fraud_type=kind, severity=severity)
        self._anomalies: BoundCounter = host.bind(ANOMALIES)
        self._features: BoundHistogram = host.bind(FEATURES)
        self._prediction: BoundHistogram = host.bind(PREDICTION)

    async def score(self, frame: pl.DataFrame) -> Scored:
        """Score every row of a table and remember it as the past of its cards.

        Where the table says what is fraud (``is_fraud``, ``fraud_type``, ``severity``), the scores are held against it.

        :raises UnfitTable: when the table lacks a column that the model needs.
        :raises Busy: when too much work is waiting.
        """
        scored = await self._compute.run(self._score, self._model.detector, frame)
        self._record(scored)
        return scored

    def summary(self) -> dict[str, Any]:
        """Return what was found in the window and how well, JSON-able; of this process."""
        return {**self._board.summary(), "model": self.model()}

    def model(self) -> dict[str, Any]:
        """Return which detector is in use, JSON-able."""
        return self._model.summary()

    def actions(self) -> Sequence[Action]:
        """Return the button that forgets the window."""
        summary = "Start rates, the confusion matrix, precision and recall anew."
        return (reset_action(summary, lambda: self._board.rolling.reset()),)

    def _score(self, detector: Detector, frame: pl.DataFrame) -> Scored:
        """In a thread: recall, derive, predict, remember."""
        frame, notes = scorable(frame, detector.roles)
        recall = self._cards.recall(frame, detector.roles)
        past = 0 if recall.rows is None else recall.rows.height
        with span("feature_engineering", rows=frame.height, past=past):
            derived = detector.derive(frame, recall.rows)
        scores = _predict(detector, derived)
        self._cards.remember(frame, detector.roles)
        return Scored(scores, recall, detector.classifier is not None, Labels.of(frame), notes)

    def _record(self, scored: Scored) -> None:
        scores, bind = scored.scores, self._host.bind
        self._features.observe(scores.feature_seconds)
        self._prediction.observe(scores.prediction_seconds)
        self._anomalies.inc(int(scores.is_anomaly.sum()))
        kinds, severities = scores.type[scores.decision].tolist(), scores.severity[scores.decision].tolist()
        for (kind, severity), count in Tally(zip(kinds, severities, strict=True)).items():
            bind(DETECTIONS, fraud_type=_of(TYPES, kind), severity=_of(SEVERITIES, severity)).inc(count)
        if scores.probability is not None:
            for kind, probability in zip(kinds, scores.probability[scores.decision].tolist(), strict=True):
                bind(CONFIDENCE, fraud_type=_of(TYPES, kind)).observe(probability)
        self._cards.count(scored.recall)
        self._board.add(scores, scored.labels, named=scored.trained)


@traced("prediction")
def _predict(detector: Detector, derived: Any) -> Scores:
    return detector.judge(derived)


def _of(known: tuple[str, ...], value: str) -> str:
    return value if value in known else OTHER

"""Fraud detection: scores transactions with a trained model, and says how well it does."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from bedplate.component import BoundCounter, BoundHistogram, Host, Spec
from bedplate.declarations import Action, Panel, Probe
from bedplate.metric import OTHER, Counter, Gauge, Histogram
from bedplate.problems import BedplateError
from bedplate.service import HostLease
from bedplate.telemetry.traces import span, traced
from synfinance.components.compute import Compute
from synfinance.components.generation import Generation
from synfinance.components.profiles import CardHistory, Recall
from synfinance.components.rolling import RollingSettings, reset_action
from synfinance.components.scoreboard import METRICS, TYPES, Labels, Scoreboard
from synfinance.components.trainer import TrainingError, train
from synfinance.fraud import Detector, Scores
from synfinance.generator import SEVERITIES
from synfinance.transactions import scorable

__all__ = ["DetectionSettings", "FraudDetection", "Scored"]

DETECTIONS = Counter(
    "synfinance_fraud_detections_total",
    "Transactions alerted, by the kind and severity that the detector says they are.",
    {"fraud_type": TYPES, "severity": SEVERITIES},
)
CONFIDENCE = Histogram(
    "synfinance_fraud_confidence_ratio",
    "Probability of fraud, between 0 and 1, that the detector gives to what it alerts.",
    {"fraud_type": TYPES},
    unit="ratio",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
ANOMALIES = Counter("synfinance_anomaly_detections_total", "Transactions that are unusual, whatever their label.")
FEATURES = Histogram(
    "synfinance_feature_engineering_time_seconds", "Time to derive the features of one batch.", unit="seconds"
)
PREDICTION = Histogram("synfinance_prediction_time_seconds", "Time to predict one batch.", unit="seconds")
TRAINED = Gauge(
    "synfinance_model_trained", "Whether a model trained on labels is in use: 1, or 0 for anomalies only.", merge="min"
)

#: Latest rows of the past that tell what is usual while no model is trained.
REFERENCE_ROWS: Final = 5_000

State = Literal["starting", "elsewhere", "training", "trained", "loaded", "untrained", "failed"]


class DetectionSettings(RollingSettings):
    """Where the model comes from."""

    model: Path | None = None
    """Directory of a model that ``synfinance train`` wrote; by default one is trained at the start."""

    training: bool = True
    """Train on the generated past when no model is given; without it, anomalies alone are detected."""


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
        self._detector: Detector | None = None
        self._state: State = "starting"
        self._fault = ""
        self._probe = Probe(
            name="model",
            check=self._check_model,
            summary="Without a trained model only anomalies are detected, and kinds of fraud are not told apart.",
            critical=False,
            interval=2.0,
            failures=1,
        )

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="fraud_detection",
            summary="Scores card transactions for fraud and anomalies.",
            needs=(self._compute, self._generation, self._cards),
            settings=self.settings,
            metrics=(DETECTIONS, CONFIDENCE, ANOMALIES, FEATURES, PREDICTION, TRAINED, *METRICS),
            probes=(self._probe,),
            panels=_PANELS,
        )

    @property
    def state(self) -> State:
        """Where the model comes from, or why there is none."""
        return self._state

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Load the model, or begin without and train one."""
        self._bind(host)
        self._board = Scoreboard(host, self.settings.window)
        if host.role == "ops":
            # It watches the others and is asked for no scores.
            self._state = "elsewhere"
        elif self.settings.model is not None:
            await self._use(Detector.load, self.settings.model)
            self._become("loaded")
        else:
            await self._use(Detector.unlabelled, self._generation.history.tail(REFERENCE_ROWS))
            self._become("untrained")
            if self.settings.training:
                self._become("training")
                host.spawn("train", lambda: self._train(host), lease=HostLease("synfinance-model"))
        yield
        self._detector, self._state = None, "starting"

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
        detector = self._detector
        if detector is None:
            raise RuntimeError("Transactions are scored while the component runs, in web processes.")
        scored = await self._compute.run(self._score, detector, frame)
        self._record(scored)
        return scored

    def summary(self) -> dict[str, Any]:
        """Return what was found in the window and how well, JSON-able; of this process."""
        return {**self._board.summary(), "model": self.model()}

    def model(self) -> dict[str, Any]:
        """Return which detector is in use, JSON-able."""
        trained = self._detector is not None and self._detector.classifier is not None
        found: dict[str, Any] = {"state": self._state, "detects": "fraud" if trained else "anomalies"}
        if trained and self._detector is not None:
            found["threshold"] = round(self._detector.threshold, 4)
            quality = self._detector.summary.get("quality", {})
            names = ("precision", "recall", "f1", "average_precision")
            found["quality_when_trained"] = {name: round(quality[name], 4) for name in names if name in quality}
        return found | ({"fault": self._fault} if self._fault else {})

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

    async def _train(self, host: Host) -> None:
        """Make a model, unless another process of the service has done it, and use it."""
        path = host.directory / "model"
        begun = host.clock.monotonic()
        try:
            if not path.exists():
                await train(self._generation.config, path)
            await self._use(Detector.load, path)
        except (TrainingError, BedplateError, ValueError) as error:
            # Trying again would fail alike; anomalies are detected meanwhile, and the probe says why.
            self._fault = str(error)
            self._become("failed")
            host.log.error("model_training_failed", error=str(error))
            return
        self._become("trained")
        host.log.info("model_trained", seconds=round(host.clock.monotonic() - begun, 1), **self.model())

    async def _use(self, make: Callable[[Any], Detector], source: Any) -> None:
        """Score with another detector from now on; what it follows, it finds in the past of the world."""

        def prepare() -> Detector:
            detector = make(source)
            self._cards.clear()
            past = self._generation.history
            if all(name in past.columns for name in detector.roles.used):
                self._cards.remember(scorable(past, detector.roles)[0], detector.roles)
            return detector

        self._detector = await self._compute.run(prepare)

    def _become(self, state: State) -> None:
        self._state = state
        self._host.bind(TRAINED).set(1 if state in ("trained", "loaded") else 0)

    async def _check_model(self) -> str:
        if self._state == "training":
            raise BedplateError("The model is being trained; anomalies are detected meanwhile.")
        if self._state == "failed":
            raise BedplateError(self._fault)
        return _DETAIL[self._state]


@traced("prediction")
def _predict(detector: Detector, derived: Any) -> Scores:
    return detector.judge(derived)


def _of(known: tuple[str, ...], value: str) -> str:
    return value if value in known else OTHER


_DETAIL: Final[dict[str, str]] = {
    "starting": "Starting.",
    "elsewhere": "The web processes have it.",
    "loaded": "A given model.",
    "trained": "Trained at the start.",
    "untrained": "None is asked for: anomalies alone are detected.",
}

_PANELS = (
    Panel(title="Alerts by kind", expr=f"sum by (fraud_type) (rate({DETECTIONS}[5m]))", unit="ops"),
    Panel(
        title="Confidence of alerts, median",
        expr=f"histogram_quantile(0.5, sum by (le) (rate({CONFIDENCE.bucket}[5m])))",
        unit="percentunit",
    ),
    Panel(
        title="Time of a batch, p95",
        expr=(
            ("features", f"histogram_quantile(0.95, sum by (le) (rate({FEATURES.bucket}[5m])))"),
            ("prediction", f"histogram_quantile(0.95, sum by (le) (rate({PREDICTION.bucket}[5m])))"),
        ),
        unit="s",
    ),
)

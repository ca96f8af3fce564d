"""The detector in use: loaded, or of anomalies alone until one is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from bedplate.component import Host
from bedplate.declarations import Probe
from bedplate.problems import BedplateError
from bedplate.service import HostLease
from synfinance.components.compute import Compute
from synfinance.components.generation import Generation
from synfinance.components.profiles import CardHistory
from synfinance.components.rolling import RollingSettings
from synfinance.components.signals.fraud import TRAINED
from synfinance.components.trainer import train
from synfinance.fraud import Detector
from synfinance.transactions import scorable

__all__ = ["DetectionSettings", "Model", "State"]

#: Latest rows of the past that tell what is usual while no model is trained.
REFERENCE_ROWS: Final = 5_000

State = Literal["starting", "elsewhere", "training", "trained", "loaded", "untrained", "failed"]

_DETAIL: Final[dict[State, str]] = {
    "starting": "Starting.",
    "elsewhere": "The web processes have it.",
    "loaded": "A given model.",
    "trained": "Trained at the start.",
    "untrained": "None is asked for: anomalies alone are detected.",
}


class DetectionSettings(RollingSettings):
    """Where the model comes from."""

    model: Path | None = None
    """Directory of a model that ``synfinance train`` wrote; by default one is trained at the start."""

    training: bool = True
    """Train on the generated past when no model is given; without it, anomalies alone are detected."""


class Model:
    """Which detector is in use, and how it came to be.

    Of several workers one trains, by lease, and writes the model into the directory that they share; the others find
    it there when the lease comes to them.
    """

    def __init__(
        self, settings: DetectionSettings, *, compute: Compute, generation: Generation, cards: CardHistory
    ) -> None:
        self._settings = settings
        self._compute = compute
        self._generation = generation
        self._cards = cards
        self._detector: Detector | None = None
        self._fault = ""
        self.state: State = "starting"
        self.probe = Probe(
            name="model",
            check=self._check,
            summary="Without a trained model only anomalies are detected, and kinds of fraud are not told apart.",
            critical=False,
            interval=2.0,
            failures=1,
        )

    @property
    def wanted(self) -> bool:
        """Whether there is to be a trained model."""
        return self._settings.model is not None or self._settings.training

    @property
    def detector(self) -> Detector:
        """The detector in use.

        :raises RuntimeError: where none runs.
        """
        if self._detector is None:
            raise RuntimeError("Transactions are scored while the component runs, in web processes.")
        return self._detector

    async def start(self, host: Host) -> None:
        """Load the given model, or begin with anomalies and have a model trained; within a component's lifespan.

        :raises BadModel: when the given model is none.
        """
        self._host = host
        if host.role == "ops":
            # It watches the others and is asked for no scores.
            self.state = "elsewhere"
        elif self._settings.model is not None:
            await self._use(Detector.load, self._settings.model)
            self._become("loaded")
        else:
            await self._use(Detector.unlabelled, self._generation.history.tail(REFERENCE_ROWS))
            self._become("training" if self._settings.training else "untrained")
            if self._settings.training:
                host.spawn("train", self._train, lease=HostLease("synfinance-model"))

    def stop(self) -> None:
        """Forget the detector."""
        self._detector, self.state = None, "starting"

    def summary(self) -> dict[str, Any]:
        """Return which detector is in use, JSON-able."""
        trained = self._detector is not None and self._detector.classifier is not None
        found: dict[str, Any] = {"state": self.state, "detects": "fraud" if trained else "anomalies"}
        if trained and self._detector is not None:
            found["threshold"] = round(self._detector.threshold, 4)
            quality = self._detector.summary.get("quality", {})
            names = ("precision", "recall", "f1", "average_precision")
            found["quality_when_trained"] = {name: round(quality[name], 4) for name in names if name in quality}
        return found | ({"fault": self._fault} if self._fault else {})

    async def _train(self) -> None:
        """Make a model, unless another process of the service has done it, and use it."""
        path, clock = self._host.directory / "model", self._host.clock
        begun = clock.monotonic()
        try:
            if not path.exists():
                await train(self._generation.config, path)
            await self._use(Detector.load, path)
        except (BedplateError, OSError, ValueError) as error:
            # Trying again would fail alike; anomalies are detected meanwhile, and the probe says why.
            self._fault = str(error)
            self._become("failed")
            self._host.log.error("model_training_failed", error=self._fault)
        else:
            self._become("trained")
            self._host.log.info("model_trained", seconds=round(clock.monotonic() - begun, 1), **self.summary())

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
        self.state = state
        self._host.bind(TRAINED).set(1 if state in ("trained", "loaded") else 0)

    async def _check(self) -> str:
        if self.state == "training":
            raise BedplateError("The model is being trained; anomalies are detected meanwhile.")
        if self.state == "failed":
            raise BedplateError(self._fault)
        return _DETAIL[self.state]

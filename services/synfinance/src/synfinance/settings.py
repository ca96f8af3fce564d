"""The settings of the SynFinance service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, field_validator

from bedplate.settings import Seconds, Settings
from bedplate.state.limits import Limit
from synfinance.components import CardHistorySettings, ComputeSettings, DetectionSettings, GenerationSettings

__all__ = ["SynFinanceSettings"]

_GENERATION: Final = GenerationSettings()
_DETECTION: Final = DetectionSettings()
_CARDS: Final = CardHistorySettings()
_COMPUTE: Final = ComputeSettings()


class SynFinanceSettings(Settings, env_prefix="SYNFINANCE_"):
    """What SynFinance can be told, on top of what every service can: ``SYNFINANCE_SEED=8``."""

    seed: Annotated[int, Field(ge=0)] = _GENERATION.seed
    """What the synthetic world is drawn from: equal seeds give equal people, cards and transactions."""

    customers: Annotated[int, Field(ge=1, le=1_000_000)] = _GENERATION.customers
    """People in the world."""

    fraud_rate: Annotated[float, Field(ge=0, le=0.5)] = _GENERATION.fraud_rate
    """Share of fraud in the past, and in what is generated unless a request says how many."""

    history_rows: Annotated[int, Field(ge=100, le=2_000_000)] = _GENERATION.history_rows
    """Transactions of the world's past, which the detector learns from."""

    model: Path | None = None
    """Directory of a model that ``synfinance train`` wrote; by default one is trained at the start."""

    training: bool = _DETECTION.training
    """Train at the start when no model is given; without it, anomalies alone are detected."""

    cached_cards: Annotated[int, Field(ge=1, le=1_000_000)] = _CARDS.cards
    """Cards whose past is kept at hand; the one not seen for longest makes room."""

    rows_per_card: Annotated[int, Field(ge=1, le=1_000)] = _CARDS.rows_per_card
    """Latest transactions kept of each card."""

    window: Annotated[Seconds, Field(ge=10, le=86_400)] = _GENERATION.window
    """Seconds that rates, shares and quality look back."""

    threads: Annotated[int, Field(ge=1, le=64)] = _COMPUTE.threads
    """Threads that generate, score and profile."""

    waiting: Annotated[int, Field(ge=0, le=10_000)] = _COMPUTE.waiting
    """Pieces of work that may wait for a thread; beyond them requests are answered 503 at once."""

    max_simulated: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """Transactions that one request may have generated."""

    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Rows that one request may have scored or assessed."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 16 * 1024 * 1024
    """Bytes that the body of one request may have."""

    rate_limit: str = "6000/minute"
    """How often one client may ask, such as ``100/minute``; empty for no limit."""

    @field_validator("rate_limit")
    @classmethod
    def _is_a_limit(cls, value: str) -> str:
        if value:
            Limit.parse(value)
        return value

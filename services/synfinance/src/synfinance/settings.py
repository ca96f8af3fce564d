"""The settings of the SynFinance service."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from bedplate.settings import Settings
from bedplate.state.limits import Limit
from synfinance.components import (
    CardHistorySettings,
    ComputeSettings,
    DetectionSettings,
    GenerationSettings,
    QualitySettings,
    SystemSettings,
)

__all__ = ["SynFinanceSettings"]


class SynFinanceSettings(Settings, env_prefix="SYNFINANCE_"):
    """What SynFinance can be told, on top of what every service can.

    The sections are read as any component's: the seed is ``BEDPLATE_GENERATION__SEED`` in the environment and ``seed``
    in the table ``[generation]`` of ``bedplate.toml``.
    """

    generation: GenerationSettings = GenerationSettings()
    """The synthetic world and its past."""

    detection: DetectionSettings = DetectionSettings()
    """Where the fraud detector's model comes from."""

    cards: CardHistorySettings = CardHistorySettings()
    """How much of each card's past is kept at hand."""

    quality: QualitySettings = QualitySettings()
    """Over how long data quality is summed up."""

    compute: ComputeSettings = ComputeSettings()
    """How much CPU-heavy work is done at once."""

    system: SystemSettings = SystemSettings()
    """How often the machine is looked at."""

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

"""What SynFinance's API takes and gives."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

__all__ = ["Alerts", "Health", "QualityRows", "ScoreRows", "SimulateRequest", "Simulation", "Transaction"]

Name = Annotated[str, Field(max_length=200)]
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""A time in UTC; one without a zone is taken to be."""


class SimulateRequest(BaseModel):
    """What to generate."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rows: Annotated[int, Field(ge=1)] = 1_000
    """Transactions; the service has an upper bound."""

    fraud: Annotated[int, Field(ge=0)] | None = None
    """How many of them are fraudulent, exactly; at most half. By default the configured share."""

    first: Annotated[int, Field(ge=0, le=1_000)] = 10
    """Transactions to return, with their scores."""


class Alerts(BaseModel):
    """What was injected and what was found."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    injected: int
    """Fraudulent transactions."""
    detected: int
    """Fraudulent transactions that were alerted."""
    missed: int
    false_alarms: int
    """Honest transactions that were alerted."""
    precision: float | None
    """Share of the alerts that are right; null without alerts."""
    recall: float | None
    """Share of the fraud that was alerted; null without fraud."""
    by_type: dict[str, int]
    """Alerts by what the detector says they are."""


class Simulation(BaseModel):
    """A generated batch in summary."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    rows: int
    fraud: Alerts
    detector: Literal["fraud", "anomalies"]
    """What the detector tells: fraud with a trained model, else anomalies alone."""
    anomalies: int
    cache_hit_rate: float | None
    """Share of the batch's cards whose past was at hand."""
    quality_score: float
    """0 to 100."""
    seconds: dict[str, float]
    """Time that each step took: generation, features, prediction, quality."""
    transactions: list[dict[str, Any]]
    """The first rows with their scores; amounts are decimal strings."""


class Transaction(TypedDict, total=False):
    """A card transaction. What is not given is taken as unknown; labels are compared with the scores."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    transaction_id: Whole
    timestamp: Required[Moment]
    customer_id: Name | None
    age_band: Name | None
    home_city: Name | None
    home_country: Name | None
    card_id: Required[Name]
    card_type: Name | None
    card_network: Name | None
    card_number: Annotated[str, Field(max_length=12, description="The last digits alone, as in **** 1234.")] | None
    transaction_type: Name | None
    amount: Required[Annotated[Decimal, Field(max_digits=18, decimal_places=2)]]
    amount_minor: Whole | None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None
    channel: Name | None
    entry_mode: Name | None
    merchant_id: Name | None
    merchant_name: Name | None
    category: Name | None
    mcc: Annotated[int, Field(ge=0, le=9999)] | None
    merchant_city: Name | None
    merchant_country: Name | None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None
    device_id: Name | None
    is_fraud: bool | None
    fraud_type: Name | None
    severity: Name | None


class ScoreRows(BaseModel):
    """Transactions to score."""

    transactions: list[Transaction]


class QualityRows(BaseModel):
    """Rows to assess: objects with any columns."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rows: list[dict[str, Any]]
    reference: list[dict[str, Any]] | None = None
    """Rows that drift is measured from."""
    columns: dict[str, Any] | None = Field(None, alias="schema")
    """What each column should be, as in a schema file of ``synfinance quality``."""


class Health(BaseModel):
    """How the service is, in short; operators ask ``/healthz``."""

    status: Literal["healthy", "degraded"]
    service: str
    version: str
    model: dict[str, Any]

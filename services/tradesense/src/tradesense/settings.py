"""The settings of the TradeSense service."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from bedplate.service.settings import ServiceSettings
from bedplate.settings import RequiredInProduction, Seconds, Secret, Settings
from bedplate.state.limits import Limit
from tradesense.components import AccountSettings, AnalyticsSettings, ImportSettings, LiveSettings, MarketSettings

__all__ = ["TradeSenseSettings"]

_ACCOUNTS: Final = AccountSettings()
_ANALYTICS: Final = AnalyticsSettings()
_IMPORTS: Final = ImportSettings()
_LIVE: Final = LiveSettings()
_MARKET: Final = MarketSettings()


class OperatorsSettings(ServiceSettings):
    """As of every service; the management API is beside the other endpoints."""

    management_prefix: str = "/api/v1/monitoring"
    """Where the management API is."""


class TradeSenseSettings(Settings, env_prefix="TRADESENSE_"):
    """What TradeSense can be told, on top of what every service can: ``TRADESENSE_QUOTES=made-up``."""

    service: OperatorsSettings = OperatorsSettings()
    """How it starts and stops, and where its operators' side is."""

    session_secret: Annotated[
        Secret | None, RequiredInProduction("whoever can write to the store could make sessions for anybody")
    ] = None
    """What sessions are hashed with, 32 characters or more; production needs it."""

    session_idle: Annotated[Seconds, Field(gt=0)] = 1800.0
    """Seconds without use after which somebody is signed out."""

    session_longest: Annotated[Seconds, Field(gt=0)] = 7 * 86_400.0
    """Seconds after which somebody is signed out in any case."""

    sign_in_by_address: str = "20/minute"
    """How often one network address may try to sign in."""

    sign_in_by_account: str = "10/5m"
    """How often one account may be tried in vain; a success gives its try back."""

    sign_up_by_address: str = "10/hour"
    """How many accounts one network address may open."""

    rate_limit: str = "1200/minute"
    """How often one client may ask for anything; empty for no limit."""

    password_memory_kib: Annotated[int, Field(ge=8, le=1 << 20)] = _ACCOUNTS.memory_kib
    """KiB of memory that hashing a password takes."""

    password_rounds: Annotated[int, Field(ge=1, le=20)] = _ACCOUNTS.rounds
    """Passes over that memory."""

    password_threads: Annotated[int, Field(ge=1, le=32)] = _ACCOUNTS.threads
    """Passwords that are hashed at once."""

    analysis_threads: Annotated[int, Field(ge=1, le=64)] = _ANALYTICS.threads
    """Threads that analyse trades."""

    analysis_waiting: Annotated[int, Field(ge=0, le=10_000)] = _ANALYTICS.waiting
    """Analyses that may wait for a thread; beyond them requests are answered 503 at once."""

    cache_ttl: Annotated[Seconds, Field(gt=0)] = 300.0
    """Seconds that an analysis is good if no record of its user changes."""

    import_rows: Annotated[int, Field(ge=1, le=1_000_000)] = _IMPORTS.rows
    """Trades that one file may have."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 16 * 1024 * 1024
    """Bytes that an uploaded file may have."""

    quotes: Literal["off", "made-up"] = "off"
    """Where live prices come from: nowhere, or made up for a demonstration; others are given to ``build``."""

    quotes_every: Annotated[Seconds, Field(gt=0, le=3600)] = _MARKET.every
    """Seconds between two questions to the source of quotes."""

    live_viewers: Annotated[int, Field(ge=1, le=100_000)] = _LIVE.viewers
    """People who may watch live on one instance."""

    @field_validator("sign_in_by_address", "sign_in_by_account", "sign_up_by_address", "rate_limit")
    @classmethod
    def _is_a_limit(cls, value: str) -> str:
        if value:
            Limit.parse(value)
        return value

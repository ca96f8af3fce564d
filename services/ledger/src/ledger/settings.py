"""The settings of the Ledger service."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, field_validator

from bedplate.settings import RequiredInProduction, Seconds, Secret, Settings
from bedplate.state.limits import Limit
from ledger.components import BooksSettings, ImportSettings, RehearsalSettings

__all__ = ["LedgerSettings"]

_BOOKS: Final = BooksSettings()
_IMPORTS: Final = ImportSettings()
_REHEARSAL: Final = RehearsalSettings()


class LedgerSettings(Settings, env_prefix="LEDGER_"):
    """What Ledger can be told, on top of what every service can: ``LEDGER_RATE_LIMIT=600/minute``."""

    admin_token: Annotated[Secret | None, RequiredInProduction("anybody could open organisations")] = None
    """The token that opens organisations; without one anybody may. Production needs it."""

    cache_ttl: Annotated[Seconds, Field(gt=0)] = 300.0
    """Seconds that a report is good if nothing is posted."""

    rate_limit: str = "6000/minute"
    """How often one network address may ask for anything; empty for no limit."""

    organizations_limit: str = "60/hour"
    """How many organisations one network address may open."""

    import_limit: str = "60/minute"
    """How many files one organisation may import."""

    import_rows: Annotated[int, Field(ge=1, le=1_000_000)] = _IMPORTS.rows
    """Rows that one file may have."""

    imports_at_once: Annotated[int, Field(ge=1, le=64)] = _IMPORTS.at_once
    """Files that one process posts at once; further ones wait."""

    imports_waiting: Annotated[int, Field(ge=0, le=10_000)] = _IMPORTS.waiting
    """Files that may wait in one process; beyond them the answer is 503 at once."""

    imports_each: Annotated[int, Field(ge=1, le=1_000)] = _IMPORTS.each
    """Files of one organisation that one process takes; beyond them the answer is 429."""

    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 16 * 1024 * 1024
    """Bytes that an uploaded file may have."""

    check_every: Annotated[Seconds, Field(gt=0)] = _BOOKS.check_every
    """Seconds between two checks that books balance, each of some organisations."""

    check_at_once: Annotated[int, Field(ge=1, le=1_000_000)] = _BOOKS.check_at_once
    """Organisations whose books are checked at once."""

    rehearse_every: Annotated[Seconds, Field(gt=0)] = _REHEARSAL.every
    """Seconds between two rehearsals of posting and reading back."""

    partitions: Annotated[int, Field(ge=2, le=1024)] = 64
    """Partitions that revenue and expense transactions move to, once somebody starts that."""

    @field_validator("rate_limit", "organizations_limit", "import_limit")
    @classmethod
    def _is_a_limit(cls, value: str) -> str:
        if value:
            Limit.parse(value)
        return value

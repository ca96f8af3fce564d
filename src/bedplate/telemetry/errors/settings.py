"""What can be set about errors."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from bedplate.settings import Env, Issued, Secret, Section, Settings

__all__ = ["ErrorSettings"]


class ErrorSettings(Section):
    """Settings of :class:`~bedplate.telemetry.errors.Errors`."""

    max_groups: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Groups kept in memory; the one seen longest ago makes room for a new one."""

    max_bytes: Annotated[int, Field(ge=65_536)] = 8 * 1024 * 1024
    """Bytes of groups kept in memory, stacks above all."""

    sentry_dsn: Annotated[Secret | None, Issued(), Env("SENTRY_DSN")] = None
    """Where errors are reported to as well; needs the extra ``sentry``."""

    sentry_per_minute: Annotated[int, Field(ge=1)] = 30
    """Reports of one group in a minute; more are only counted, so that a storm does not use up a quota."""

    release: Annotated[str, Env("SENTRY_RELEASE")] = ""
    """The version that reports name."""

    @field_validator("sentry_dsn")
    @classmethod
    def _is_a_dsn(cls, value: Secret | None) -> Secret | None:
        if value is not None:
            parts = urlsplit(value.reveal())
            if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username:
                raise ValueError("is not a DSN; write it as https://key@host/project")
        return value

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the section ``errors`` of a service's settings, completed by ``sentry_dsn``.

        :raises SettingsError: with every fault of the section.
        """
        section = settings.section(cls, "errors")
        if section.sentry_dsn is None and settings.sentry_dsn is not None:
            return cls.model_validate({**dict(section), "sentry_dsn": settings.sentry_dsn})
        return section

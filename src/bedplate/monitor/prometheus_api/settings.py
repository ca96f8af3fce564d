"""Settings of the Prometheus that is asked about the fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from bedplate.settings import Dsn, Issued, Seconds, Secret, Section, Settings, schemes

__all__ = ["PrometheusSettings"]


class PrometheusSettings(Section):
    """Which Prometheus to ask about the whole fleet, and how."""

    url: Annotated[Dsn | None, schemes("http", "https")] = None
    """Its address, with a path if need be and ``user:password@`` for basic authentication; PROMETHEUS_URL as a rule."""

    token: Annotated[Secret | None, Issued()] = None
    """A bearer token for it."""

    timeout: Annotated[Seconds, Field(gt=0, le=300)] = 5.0
    """Seconds for one question."""

    retry: Annotated[Seconds, Field(ge=0, le=600)] = 5.0
    """Seconds for which it is not asked again once it could not be reached."""

    ca_file: Path | None = None
    """Certificates to trust beside the system's, for a private authority."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the section, with PROMETHEUS_URL where it names no address."""
        section = settings.section(cls, "prometheus")
        return section if section.url is not None else section.model_copy(update={"url": settings.prometheus_url})

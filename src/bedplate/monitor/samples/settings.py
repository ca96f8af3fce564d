"""Settings of samples."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bedplate.settings import Seconds, Section

__all__ = ["SampleSettings"]


class SampleSettings(Section):
    """How often the service samples itself, what of it is kept, and what a query may take."""

    interval: Annotated[Seconds, Field(ge=0.1, le=300)] = 5.0
    """Seconds between two samples of every series."""

    retention: Annotated[Seconds, Field(ge=60, le=31 * 86_400)] = 86_400.0
    """Seconds that samples are kept, in memory alone: a restart forgets them."""

    max_series: Annotated[int, Field(ge=100, le=5_000_000)] = 50_000
    """Series that are kept; new ones beyond are not, and the component is degraded."""

    max_bytes: Annotated[int, Field(ge=4 * 2**20)] = 256 * 2**20
    """Bytes that samples may take; beyond, the oldest go before their time. A day of 1,000 series takes some 30 MB."""

    query_samples: Annotated[int, Field(ge=1000)] = 10_000_000
    """Samples that one query may load, 8 bytes each."""

    query_timeout: Annotated[Seconds, Field(gt=0)] = 30.0
    """Seconds after which a query is given up."""

    instance: str = ""
    """The ``instance`` label of samples; the host's name and the port by default, as Prometheus names a target."""

    single_host: bool | None = None
    """Whether this host is all there is of the service, so that without Prometheus its samples speak for the fleet;
    by default only in development and in tests."""

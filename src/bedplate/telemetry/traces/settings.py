"""What can be set about traces; the OpenTelemetry specification's variables are honoured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field

from bedplate.settings import Dsn, Seconds, Secret, Section, Settings, schemes

__all__ = ["TraceSettings"]


class TraceSettings(Section):
    """Settings of :class:`~bedplate.telemetry.traces.Traces`."""

    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the traces begun here that are recorded in full and exported; the caller's choice goes first."""

    slow_threshold: Annotated[Seconds, Field(gt=0)] = 1.0
    """Time from which a request, a job or a traced operation is slow, and kept."""

    max_spans: Annotated[int, Field(ge=1)] = 512
    """Spans noted in one request or job; more are counted and dropped."""

    max_traces: Annotated[int, Field(ge=3)] = 1000
    """Traces kept in memory: 40 % for errors, 30 % for slow ones, 30 % for sampled ones."""

    max_bytes: Annotated[int, Field(ge=64 * 1024)] = 16 * 1024 * 1024
    """Bytes of traces kept in memory, shared out in the same way."""

    service_name: str = ""
    """The ``service.name`` of exported spans; the service's own name by default."""

    resource: Mapping[str, str] = Field(default_factory=dict)
    """Further resource attributes of exported spans."""

    otlp_endpoint: Annotated[Dsn | None, schemes("http", "https")] = None
    """Where spans are posted (OTLP over HTTP), with the path ``/v1/traces``; nothing is exported by default."""

    otlp_headers: Mapping[str, Secret] = Field(default_factory=dict)
    """Headers of the export, such as the collector's token."""

    otlp_timeout: Annotated[Seconds, Field(gt=0)] = 5.0
    """Time for one export, its retries included."""

    export_delay: Annotated[Seconds, Field(gt=0)] = 5.0
    """Time for which spans are collected before they are exported together."""

    export_kept: bool = True
    """Export the traces that failed or were slow too, although they were not sampled."""

    flush_timeout: Annotated[Seconds, Field(gt=0)] = 3.0
    """Time that a shutdown waits for the last export."""

    operation_spans: bool = False
    """Have FastAPI trace dependencies, endpoint and serialisation of sampled requests; dear, 174 µs a request."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the section ``traces`` of the settings, completed by the ``OTEL_`` variables that they hold.

        :raises SettingsError: with every fault of the section.
        """
        section = settings.section(cls, "traces")
        general = {name: value for name, value in _standard(settings).items() if value is not None}
        unset = {name: value for name, value in general.items() if settings.origin(f"traces.{name}") == "default"}
        return section.model_copy(update=unset)


def _standard(settings: Settings) -> dict[str, Any]:
    resource = dict(settings.otel_resource_attributes)
    named = resource.pop("service.name", "")
    return {
        "service_name": settings.otel_service_name or named or None,
        "resource": resource or None,
        "otlp_endpoint": Dsn(url) if (url := settings.otlp_traces_url) else None,
        "otlp_headers": {name: Secret(value) for name, value in settings.otlp_headers.items()} or None,
        "sample_ratio": _ratio(settings),
    }


def _ratio(settings: Settings) -> float | None:
    sampler, ratio = settings.otel_traces_sampler or "", settings.otel_traces_sampler_arg
    if sampler.endswith("always_on"):
        return 1.0
    if sampler.endswith("always_off"):
        return 0.0
    # A ratio sampler without an argument takes everything, says the specification.
    return 1.0 if sampler and ratio is None else ratio

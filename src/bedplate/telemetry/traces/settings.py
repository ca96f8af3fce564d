"""What can be set about traces; the names of the environment are those of the OpenTelemetry specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from bedplate.problems import BedplateError

__all__ = ["TraceSettings"]

_MIB = 1024 * 1024


class TraceSettings(BaseModel):
    """Settings of :class:`~bedplate.telemetry.traces.Traces`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the traces begun here that are recorded in full and exported; the caller's choice goes first."""

    slow_threshold: Annotated[float, Field(gt=0)] = 1.0
    """Seconds from which a request, a job or a ``@traced`` operation is slow, and kept."""

    max_spans: Annotated[int, Field(ge=1)] = 512
    """Spans noted in one request or job; more are counted and dropped."""

    max_traces: Annotated[int, Field(ge=3)] = 1000
    """Traces kept in memory: 40 % for errors, 30 % for slow ones, 30 % for sampled ones."""

    max_bytes: Annotated[int, Field(ge=64 * 1024)] = 16 * _MIB
    """Bytes of traces kept in memory, shared out in the same way."""

    service_name: str = ""
    """``service.name`` of exported spans; by default the service's own name."""

    resource: Mapping[str, str] = Field(default_factory=dict)
    """Further resource attributes of exported spans."""

    otlp_endpoint: str = ""
    """Where spans are posted (OTLP/HTTP, protobuf), the full URL with ``/v1/traces``; empty for no export."""

    otlp_headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    """Headers of the export, such as the collector's token."""

    otlp_timeout: Annotated[float, Field(gt=0)] = 5.0
    """Seconds for one export, its retries included."""

    otlp_protocol: str = "http/protobuf"
    """The only one supported; another is refused at start."""

    export_delay: Annotated[float, Field(gt=0)] = 5.0
    """Seconds for which spans are collected before they are exported together."""

    export_kept: bool = True
    """Export the traces that failed or were slow too, although they were not sampled."""

    flush_timeout: Annotated[float, Field(gt=0)] = 3.0
    """Seconds that a shutdown waits for the last export."""

    operation_spans: bool = False
    """FastAPI's spans for dependencies, endpoint and serialisation of sampled requests; dear, 174 µs a request."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _endpoint_is_a_url(cls, value: str) -> str:
        if value:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("is not an http or https URL; write it as https://collector:4318/v1/traces")
        return value

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **overrides: object) -> Self:
        """Return the settings that the ``OTEL_*`` variables ask for; ``overrides`` go first.

        Read are ``OTEL_TRACES_EXPORTER``, ``OTEL_SDK_DISABLED``, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``,
        ``OTEL_TRACES_SAMPLER`` with ``_ARG``, ``OTEL_BSP_SCHEDULE_DELAY``, and of ``OTEL_EXPORTER_OTLP_*`` (those of
        ``…_TRACES_*`` go first) ``ENDPOINT``, ``HEADERS``, ``PROTOCOL`` and ``TIMEOUT``.

        :raises BedplateError: when a variable is malformed; it is named.
        """
        values: dict[str, object] = {}
        _read_export(environ, values)
        sampler = environ.get("OTEL_TRACES_SAMPLER", "")
        if sampler.endswith("always_on"):
            values["sample_ratio"] = 1.0
        elif sampler.endswith("always_off"):
            values["sample_ratio"] = 0.0
        elif "OTEL_TRACES_SAMPLER_ARG" in environ:
            values["sample_ratio"] = _number(environ, "OTEL_TRACES_SAMPLER_ARG")
        resource = _pairs(environ, "OTEL_RESOURCE_ATTRIBUTES")
        name = environ.get("OTEL_SERVICE_NAME") or resource.pop("service.name", "")
        resource.pop("service.name", None)
        if name:
            values["service_name"] = name
        if resource:
            values["resource"] = resource
        return cls.model_validate({**values, **overrides})


def _read_export(environ: Mapping[str, str], values: dict[str, object]) -> None:
    def first(name: str) -> str:
        for variable in (f"OTEL_EXPORTER_OTLP_TRACES_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            if environ.get(variable):
                return variable
        return ""

    off = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none"
    if off or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    if variable := first("ENDPOINT"):
        endpoint = environ[variable].strip()
        if variable == "OTEL_EXPORTER_OTLP_ENDPOINT":
            endpoint = endpoint.rstrip("/") + "/v1/traces"
        values["otlp_endpoint"] = endpoint
    if variable := first("HEADERS"):
        values["otlp_headers"] = _pairs(environ, variable)
    if variable := first("PROTOCOL"):
        values["otlp_protocol"] = environ[variable].strip()
    if variable := first("TIMEOUT"):
        # The specification has milliseconds and Python's SDK seconds; Python's users know the latter.
        values["otlp_timeout"] = _number(environ, variable)
    if environ.get("OTEL_BSP_SCHEDULE_DELAY"):
        values["export_delay"] = _number(environ, "OTEL_BSP_SCHEDULE_DELAY") / 1000


def _number(environ: Mapping[str, str], name: str) -> float:
    try:
        return float(environ[name])
    except ValueError:
        raise BedplateError(f"{name} is {environ[name]!r}, which is not a number.", "Give a number.") from None


def _pairs(environ: Mapping[str, str], name: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in environ.get(name, "").split(","):
        if not part.strip():
            continue
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            # The values may be secrets: the variable is named, not quoted.
            raise BedplateError(f"{name} is not a list of key=value pairs.", "Separate pairs by commas.")
        pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs

"""The settings that every service has: where it runs, and the standard variables that are honoured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from bedplate.component import Environment
from bedplate.settings.fields import PREFIX, key_values
from bedplate.settings.markers import Env, Issued, Reloadable, Seconds
from bedplate.settings.secret import Dsn, Secret, schemes

__all__ = ["LogLevel", "Sampler", "StandardSettings"]

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]

#: ``+sentinel`` and ``+cluster`` may follow the first two; ``memory`` keeps the data in the process, by name.
_REDIS = ("redis", "rediss", "unix", "memory")


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class StandardSettings(BaseSettings):
    """Fields only; how they are read is :class:`~bedplate.settings.Settings`' business.

    A field that a standard variable sets bears its name in lower case; ``BEDPLATE_`` before it wins over it.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        hide_input_in_errors=True,
        validate_default=True,
    )

    environment: Annotated[Environment, Env("BEDPLATE_ENV", "ENVIRONMENT")] = "development"
    """Where the service runs; production refuses what is not safe, staging warns of it."""

    config: Annotated[Path | None, Env("BEDPLATE_CONFIG")] = None
    """The configuration file, when it is not ``bedplate.toml`` in the working directory."""

    secrets_dir: Path = Path("/run/secrets")
    """The directory that holds one secret a file, named as the variable, in capitals or not."""

    allow: frozenset[str] = frozenset()
    """Names of rules that production would refuse and this service means to break."""

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 in a container."""

    port: Annotated[int, Field(ge=0, le=65535), Env("PORT")] = 8000
    """The port to listen on; 0 takes a free one."""

    workers: Annotated[int, Field(ge=1, le=256), Env("WEB_CONCURRENCY")] = 1
    """Web processes; with more than one, another process watches them."""

    run_dir: Path | None = None
    """Where processes share metrics and sockets; a private temporary directory by default."""

    redis_url: Annotated[Dsn | None, schemes(*_REDIS), Env("REDIS_URL")] = None
    """The Redis that instances share: ``redis://``, ``rediss://`` (TLS), ``unix://``, with ``+sentinel`` or
    ``+cluster`` after the scheme; or ``memory://``, which asks by name for a store in the process."""

    redis_private_url: Annotated[Dsn | None, schemes(*_REDIS), Env("REDIS_PRIVATE_URL")] = None
    """The same server by a private network, preferred when it is set."""

    redis_max_connections: Annotated[int, Field(ge=1), Env("REDIS_MAX_CONNECTIONS")] = 50
    """The most connections of one process."""

    redis_timeout: Annotated[Seconds, Field(gt=0), Env("REDIS_TIMEOUT")] = 5.0
    """Seconds until a Redis command or connection attempt fails."""

    database_url: Annotated[Dsn | None, schemes("postgresql", "postgres", "sqlite"), Env("DATABASE_URL")] = None
    """The database: ``postgresql://user:password@host/name``, with a driver if need be, or ``sqlite:///path``."""

    database_primary_url: Annotated[Dsn | None, schemes("postgresql", "postgres"), Env("DATABASE_PRIMARY_URL")] = None
    """The same server without the pooler that ``DATABASE_URL`` goes through; cutovers work by it."""

    database_replica_urls: Annotated[tuple[Dsn, ...], Env("DATABASE_REPLICA_URLS")] = ()
    """Replicas of it to read from, comma-separated; each address is one server."""

    prometheus_url: Annotated[Dsn | None, schemes("http", "https"), Env("PROMETHEUS_URL")] = None
    """The Prometheus that evaluates in the place of the built-in engine."""

    sentry_dsn: Annotated[Secret | None, Issued(), Env("SENTRY_DSN")] = None
    """Where errors are reported to, besides the built-in error store."""

    log_level: Annotated[LogLevel, BeforeValidator(_upper), Env("LOG_LEVEL"), Reloadable()] = "INFO"
    """The least severe records that are logged."""

    log_file: Annotated[Path | None, Env("LOG_FILE")] = None
    """The rotating log file; the standard stream alone by default."""

    log_dir: Annotated[Path | None, Env("LOG_DIR")] = None
    """The directory of ``app.log`` and ``errors.log``."""

    otel_sdk_disabled: Annotated[bool, Env("OTEL_SDK_DISABLED")] = False
    """Export no traces."""

    otel_service_name: Annotated[str, Env("OTEL_SERVICE_NAME")] = ""
    """The ``service.name`` of exported traces; the service's own name by default."""

    otel_resource_attributes: Annotated[dict[str, str], Env("OTEL_RESOURCE_ATTRIBUTES")] = Field(default={})
    """Further attributes of exported traces, ``key=value,key=value``, percent-encoded."""

    otel_exporter_otlp_endpoint: Annotated[Dsn | None, schemes("http", "https"), Env("OTEL_EXPORTER_OTLP_ENDPOINT")] = (
        None
    )
    """The collector's address; traces go to ``/v1/traces`` below it."""

    otel_exporter_otlp_traces_endpoint: Annotated[
        Dsn | None, schemes("http", "https"), Env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    ] = None
    """The full address that traces go to."""

    otel_exporter_otlp_headers: Annotated[Secret | None, Issued(), Env("OTEL_EXPORTER_OTLP_HEADERS")] = None
    """Headers for the collector, ``key=value,key=value``, percent-encoded; they often carry its token."""

    otel_traces_sampler: Annotated[Sampler | None, Env("OTEL_TRACES_SAMPLER")] = None
    """Which requests are traced in full; errors and slow ones are kept in any case."""

    otel_traces_sampler_arg: Annotated[float | None, Field(ge=0, le=1), Env("OTEL_TRACES_SAMPLER_ARG")] = None
    """The share of requests that a ratio sampler takes."""

    @property
    def redis_address(self) -> Dsn | None:
        """The Redis server to connect to: the private address when there is one."""
        return self.redis_private_url or self.redis_url

    @property
    def otlp_traces_url(self) -> str:
        """The URL to export traces to, empty for none; it may hold credentials."""
        if self.otel_sdk_disabled:
            return ""
        if self.otel_exporter_otlp_traces_endpoint is not None:
            return self.otel_exporter_otlp_traces_endpoint.reveal()
        base = self.otel_exporter_otlp_endpoint
        return "" if base is None else f"{base.reveal().rstrip('/')}/v1/traces"

    @property
    def otlp_headers(self) -> dict[str, str]:
        """The headers for the collector, decoded; they are secret."""
        secret = self.otel_exporter_otlp_headers
        return {} if secret is None else key_values(secret.reveal())

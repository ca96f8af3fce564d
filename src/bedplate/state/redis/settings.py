"""Settings of the connection to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from bedplate.settings.markers import Seconds, Section

if TYPE_CHECKING:
    from bedplate.settings import Settings

__all__ = ["RedisSettings"]


class RedisSettings(Section):
    """How Redis is used; which one it is says ``REDIS_URL``."""

    timeout: Annotated[Seconds, Field(gt=0, le=60)] = 1.0
    """Seconds until an operation fails whose caller says nothing else."""

    connect_timeout: Annotated[Seconds, Field(gt=0, le=60)] = 2.0
    """Seconds that a connection may take to come about; the start waits no longer for it either."""

    quiet: Annotated[Seconds, Field(gt=0, le=60)] = 1.0
    """Seconds without a word after which the server is asked whether it is still there."""

    patience: Annotated[Seconds, Field(gt=0, le=60)] = 3.0
    """Seconds for which a server may owe an answer in silence before its connection is given up.

    A cut that nobody is told of is seen after ``quiet`` and ``patience``; near caches may be stale that long."""

    backoff: Annotated[Seconds, Field(gt=0, le=10)] = 0.05
    """Seconds until the second attempt to connect; each further one waits up to twice as long."""

    backoff_limit: Annotated[Seconds, Field(gt=0, le=60)] = 2.0
    """The most seconds between two attempts."""

    in_flight: int = Field(default=10_000, ge=1, le=1_000_000)
    """Operations of one process that may wait for one server; more are refused at once."""

    max_connections: int = Field(default=50, ge=1, le=10_000)
    """Further connections of one process, each for one blocking command at a time."""

    inspect_every: Annotated[Seconds, Field(gt=0, le=600)] = 15.0
    """Seconds between two looks at the server's memory, role and replicas."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the section ``redis`` of a service; ``REDIS_TIMEOUT`` and ``REDIS_MAX_CONNECTIONS`` count, too."""
        section = settings.section(cls, "redis")
        given = settings.model_fields_set
        changes: dict[str, object] = {}
        if "redis_timeout" in given and "timeout" not in section.model_fields_set:
            changes["timeout"] = settings.redis_timeout
        if "redis_max_connections" in given and "max_connections" not in section.model_fields_set:
            changes["max_connections"] = settings.redis_max_connections
        return cls.model_validate({**section.model_dump(exclude_unset=True), **changes}) if changes else section

"""Settings of how a service starts, stops and shows its operators' side."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from bedplate.settings import Seconds, Section

__all__ = ["ServiceSettings"]


class ServiceSettings(Section):
    """How a service starts, stops, and where its operators' side is."""

    start_timeout: Annotated[Seconds, Field(gt=0)] = 30.0
    """Seconds that one component may take to start."""

    stop_timeout: Annotated[Seconds, Field(gt=0)] = 10.0
    """Seconds that all components together may take to stop, and that open requests may take to end before that."""

    drain: Annotated[Seconds, Field(ge=0)] = 0.0
    """Seconds in which a service that was told to stop answers on, but is unready, so that load balancers notice."""

    management_prefix: str = "/monitoring"
    """Where the management API is."""

    public_url: str = ""
    """Where people reach the service, ``https://ledger.example``; the links in notifications begin with it."""

    management_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """A second port for health, metrics and the management API alone, served by the process that watches; None for
    none."""

    @field_validator("management_prefix")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if not value.startswith("/") or value == "/" or value.endswith("/"):
            raise ValueError("must be a path such as /monitoring, without a slash at the end")
        return value

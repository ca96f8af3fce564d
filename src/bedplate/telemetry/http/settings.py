"""Settings of the HTTP layer."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from pydantic import Field, field_validator

from bedplate.settings import Section

__all__ = ["SECURITY_HEADERS", "HttpSettings"]

#: Added to every answer that does not set them itself. ``same-origin`` keeps the Origin header of the service's own
#: forms, which ``no-referrer`` would turn into ``null``.
SECURITY_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class HttpSettings(Section):
    """How requests are identified, measured, logged and protected."""

    trust_parent: bool = True
    """Take the caller's sampling decision from ``traceparent``. Turn it off where anybody may call."""

    trust_request_id: bool = True
    """Keep a well-formed ``X-Request-ID`` of the caller instead of making a new one."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose ``X-Forwarded-For`` is believed; ``unix`` stands for peers on a Unix socket."""

    access_log: bool = True
    """Write one record a request."""

    access_log_ratio: float = Field(default=1.0, ge=0.0, le=1.0)
    """Share of successful requests that are logged; failed, slow and traced ones always are."""

    access_log_skip: tuple[str, ...] = ("/livez", "/readyz", "/healthz", "/metrics")
    """Paths whose successes are not logged, as seen from the root of the service."""

    secret_parameters: tuple[str, ...] = ("code", "key", "session", "sig", "signature", "state")
    """Query parameters that are logged without their values, besides those that every log record redacts."""

    security_headers: Mapping[str, str] = Field(default_factory=lambda: dict(SECURITY_HEADERS))
    """Headers added to answers that do not set them."""

    hsts: str = "max-age=31536000"
    """``Strict-Transport-Security`` of answers over https in production; empty for none."""

    availability: float = Field(default=0.999, ge=0, lt=1)
    """The objective: this share of all requests over 30 days is answered with something else than a 5xx; 0 for none.
    Alerts on how fast its error budget burns, and the panels of the budget, are derived from it."""

    reraise: bool = False
    """Raise an exception again after it was answered, counted and logged. For test clients that expect it."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            if network != "unix":
                ip_network(network, strict=False)
        return value

"""Settings of the console."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bedplate.settings import Seconds, Secret, Section

__all__ = ["ConsoleSettings", "OidcSettings"]


class OidcSettings(Section):
    """How people sign in with an OpenID Connect provider; needs ``bedplate[oidc]``."""

    issuer: str = ""
    """The provider's issuer URL; empty for no such sign-in."""

    client_id: str = ""
    """The client that the provider knows the console as."""

    client_secret: Secret | None = None
    """The client's secret."""

    scopes: str = "openid profile email"
    """What is asked for, separated by spaces."""

    name_claim: str = "email"
    """The claim that names people in the audit log."""

    role_claim: str = "groups"
    """The claim that says what people belong to: a text or a list."""

    viewers: tuple[str, ...] = ()
    """Values of the role claim that may look; ``*`` for everybody whom the provider lets in."""

    operators: tuple[str, ...] = ()
    """Values of the role claim that may act."""

    admins: tuple[str, ...] = ()
    """Values of the role claim that may do everything."""

    redirect_url: str = ""
    """The address of ``/console/oidc/return`` as the provider knows it; empty for what the browser asked for."""


class ConsoleSettings(Section):
    """Who may look at the console and for how long, and how much it shows at once."""

    idle: Annotated[Seconds, Field(ge=60)] = 3600.0
    """Seconds without a request after which somebody has to sign in again."""

    longest: Annotated[Seconds, Field(ge=60)] = 43_200.0
    """Seconds after which somebody has to sign in again in any case."""

    sessions: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """People signed in at once; the one who was idle longest goes first."""

    outlast: bool = True
    """Whether people stay signed in when the service restarts; a file beside the audit log tells who they are. Never in
    tests."""

    link_expires: Annotated[Seconds, Field(gt=0)] = 600.0
    """Seconds for which the one-time link of a development service is good."""

    viewers: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Open pages that are kept up to date at once; more of them are told to reload by hand."""

    live_interval: Annotated[Seconds, Field(gt=0)] = 2.0
    """Seconds between two looks at what open pages show."""

    window: Literal["15m", "30m", "1h", "3h", "6h", "12h", "24h"] = "1h"
    """The time that charts show at first."""

    oidc: OidcSettings = OidcSettings()
    """Sign-in with an OpenID Connect provider."""

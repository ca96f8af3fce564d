"""Settings of the authenticator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from bedplate.monitor.auth.tokens import Token, parse_tokens
from bedplate.settings.markers import Env, Reloadable, Section

__all__ = ["AuthSettings"]


class AuthSettings(Section):
    """Who may use the management API."""

    tokens: Annotated[tuple[Token, ...], BeforeValidator(parse_tokens), Env("BEDPLATE_TOKENS"), Reloadable()] = ()
    """Who may use what: ``name:role:token`` entries with the roles metrics, viewer, operator and admin; in place of the
    token ``sha256:<hex>``; separated by commas, spaces or lines."""

    development: Literal["loopback", "everyone", "token"] = "loopback"
    """Who needs no token while ``environment`` is development: callers on this machine that ask for it by a local
    name, everyone who can reach the port (containers), or nobody. It means nothing in other environments."""

    failures: int = Field(default=10, ge=1, le=10_000)
    """Wrong tokens that one client may present in a minute; after that it waits."""

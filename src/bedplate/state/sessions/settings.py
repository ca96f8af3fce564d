"""How sessions are kept, for people."""

from __future__ import annotations

from pydantic import Field

from bedplate.settings.markers import Section

__all__ = ["SessionsSettings"]


class SessionsSettings(Section):
    """What sessions of one name are like."""

    idle: float = Field(gt=0)
    """Seconds without use after which a session is over."""

    longest: float = Field(gt=0)
    """Seconds after which it is over in any case."""

    touch: float = Field(ge=0)
    """Seconds between two writes of when it was last used."""

    most: int = Field(ge=1, le=1000)
    """Sessions of one user; beyond it the one used longest ago ends."""

    near: int = Field(ge=0)
    """Users of whom a process holds sessions."""

    fresh: float = Field(ge=0)
    """Seconds after which a session that is held is read again."""

    known: float = Field(ge=0)
    """Seconds for which sessions that are held serve reads while the store is away."""

    remembered: int = Field(ge=1)
    """Ended sessions that a process remembers."""

    largest: int = Field(ge=1)
    """Bytes of data that a session may hold."""

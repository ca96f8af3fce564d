"""What can go wrong with a cache that its caller must know of; most does not, and is served around."""

from __future__ import annotations

from bedplate.problems import BedplateError

__all__ = ["CacheKeyError", "CacheTimeoutError", "CacheTypeError"]


class CacheKeyError(BedplateError, TypeError):
    """A key cannot be made, or an argument cannot be part of one."""


class CacheTypeError(BedplateError, TypeError):
    """A value would not come back from the cache as it went in."""


class CacheTimeoutError(BedplateError, TimeoutError):
    """What was to be cached was not computed in time, and there is no older value; it goes on in the background."""

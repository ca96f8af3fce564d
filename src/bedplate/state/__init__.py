"""What the instances of a service share, and what each keeps for itself: limits, caches, locks.

They stand on a store, :class:`~bedplate.state.memory.Memory` in the process or :class:`~bedplate.state.redis.Redis`
for all instances; :func:`store` takes the one that an address asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bedplate.state.memory import Memory

if TYPE_CHECKING:
    from bedplate.settings.secret import Secret
    from bedplate.state.redis import Redis, RedisSettings

__all__ = ["store"]


def store(
    url: str | Secret | None = "",
    name: str = "default",
    *,
    role: Literal["cache", "state"] = "state",
    settings: RedisSettings | None = None,
) -> Memory | Redis:
    """Return the store at an address: ``store(settings.redis_address)``.

    :param url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``redis+cluster://`` …, which needs the
        extra ``bedplate[redis]``; empty for a store in the process, which production refuses; ``memory://`` for one
        that is meant.
    :param role: ``cache`` for what may be forgotten, ``state`` for what must not.
    :param settings: time-outs and bounds of a Redis: ``RedisSettings.of(settings)``.
    """
    address = (url if isinstance(url, str) else url.reveal()) if url else ""
    if not address or address.startswith("memory://"):
        return Memory(name, role=role, chosen=bool(address))
    from bedplate.state.redis import Redis

    return Redis(address, name, role=role, settings=settings)

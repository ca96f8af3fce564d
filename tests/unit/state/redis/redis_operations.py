"""Operations for tests of the connection; there is no store in the process behind them."""

from __future__ import annotations

from typing import Any

from bedplate.state.redis import RedisSettings
from bedplate.state.store import Operation

__all__ = ["ADD", "BUMP", "GET", "GLANCE", "PEEK", "SET", "hasty"]


def _nothing(space: Any, keys: Any, args: Any) -> None:
    """These tests have no store in the process."""


GET = Operation(name="get", command=("GET",), memory=_nothing, reads=True)
SET = Operation(name="set", command=("SET",), memory=_nothing)
ADD = Operation(name="add", script="return redis.call('INCRBY', KEYS[1], ARGV[1]) + tonumber(ARGV[2])", memory=_nothing)
GLANCE = Operation(name="glance", command=("GET",), memory=_nothing, reads=True, tracked=False)
PEEK = Operation(name="peek", script="return redis.call('GET', KEYS[1])", memory=_nothing, reads=True)

#: Adds to a number, and reads it after all that changes it.
BUMP = Operation(
    name="bump",
    script="""
        redis.call('GET', KEYS[1])
        local count = redis.call('INCR', KEYS[1])
        redis.call('PEXPIRE', KEYS[1], 60000)
        redis.call('GET', KEYS[1])
        return count
    """,
    memory=_nothing,
    holds=True,
)


def hasty(**values: Any) -> RedisSettings:
    """Settings with which a test need not wait long."""
    given: dict[str, Any] = {"timeout": 0.3, "connect_timeout": 0.5, "quiet": 0.1, "patience": 0.4}
    return RedisSettings(**{**given, "backoff": 0.005, "backoff_limit": 0.05, **values})

"""Redis or Valkey, as the store that instances share: one connection for everybody, kept up in the background."""

from bedplate.state.redis.component import Redis
from bedplate.state.redis.settings import RedisSettings

__all__ = ["Redis", "RedisSettings"]

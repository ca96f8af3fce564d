"""Rate limits: how often a client, a user or a key may do something."""

from bedplate.state.limits.component import RateLimit, RateLimitSettings
from bedplate.state.limits.keys import Key, by_client, by_header
from bedplate.state.limits.limit import Decision, Limit, Strategy

__all__ = ["Decision", "Key", "Limit", "RateLimit", "RateLimitSettings", "Strategy", "by_client", "by_header"]

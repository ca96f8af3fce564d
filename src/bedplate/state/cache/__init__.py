"""A cache for what is dear to compute: near in each process, and in a store for all instances.

.. code-block:: python

    cache = Cache(store, name="reports", ttl=300)

    @cache.cached(key="report:{organization}", tags=("org:{organization}",))
    async def report(organization: int) -> Report: ...
"""

from bedplate.state.cache.cached import Cached
from bedplate.state.cache.component import MISSING, Cache
from bedplate.state.cache.errors import CacheKeyError, CacheTimeoutError, CacheTypeError
from bedplate.state.cache.settings import CacheSettings

__all__ = ["MISSING", "Cache", "CacheKeyError", "CacheSettings", "CacheTimeoutError", "CacheTypeError", "Cached"]

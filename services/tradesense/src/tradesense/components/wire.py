"""What instances tell each other: small JSON documents, to all who listen now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from bedplate.state.store import Listening, Store

__all__ = ["Wire"]


class Wire:
    """Publishes and listens on the service's channels.

    :ivar events: the component behind it, for ``needs``.
    """

    def __init__(self, events: Store) -> None:
        self.events = events

    async def publish(self, channel: str, document: Any) -> None:
        """Tell all who listen. :raises StoreUnavailableError: when nobody can be told."""
        await self.events.publish(f"tradesense:{channel}", orjson.dumps(document))

    def listen(self, channel: str, heard: Callable[[Any], None], missed: Callable[[], None]) -> Listening:
        """Hear what is told.

        :param missed: called when some of it may have been lost.
        """
        return self.events.listen(f"tradesense:{channel}", lambda message: heard(orjson.loads(message)), missed=missed)

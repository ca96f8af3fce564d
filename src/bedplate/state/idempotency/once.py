"""One call that is to be done once: ``async with idempotency.once(key) as once``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from pydantic_core import to_jsonable_python

from bedplate.problems import BedplateError
from bedplate.state.idempotency.ledger import Mark

if TYPE_CHECKING:
    from bedplate.state.idempotency.component import Idempotency

__all__ = ["Once"]


class Once:
    """Something that is to be done once.

    :ivar done: whether it was done before; then :attr:`result` is what came of it.
    :ivar result: JSON. :ivar attempt: the number of this attempt, 0 when it was done before. From 2 on an earlier one
        failed or was given up half-way: look whether it has left something behind.
    """

    def __init__(self, idempotency: Idempotency, mark: Mark | None, result: Any = None) -> None:
        self._idempotency = idempotency
        self._mark = mark
        self.done = mark is None
        self.attempt = mark.attempt if mark is not None else 0
        self.result = result
        self.is_finished = False

    @property
    def is_lost(self) -> bool:
        """Whether another attempt has taken over, since this one was not heard of for longer than its mark holds."""
        return self._mark is not None and self._mark.is_lost

    async def finish(self, result: Any = None) -> bool:
        """Record what came of it: JSON, or what can become JSON; return whether the store has it.

        While the store is away the record waits in this process, and is stored when it is back.

        :raises BedplateError: when it is too large to be kept, or was finished before.
        """
        if self._mark is None or self.is_finished:
            raise BedplateError("This was finished before.", "Call finish() once, and not when it was done already.")
        packed = orjson.dumps(to_jsonable_python(result))
        largest = self._idempotency.settings.largest
        if len(packed) > largest:
            raise BedplateError(f"A result of {len(packed)} bytes is larger than {largest}.", "Return a reference.")
        self.is_finished = True
        self.result = result
        return await self._idempotency.ledger.finish(self._mark, packed)

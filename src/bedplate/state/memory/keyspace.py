"""The data that in-process forms of operations work on.

Methods are named as Redis's commands, in lower case, and do what those do; they return what RESP3 would: bytes, whole
numbers, floats for scores, dictionaries for hashes, lists for sets. What Redis refuses, they refuse with the same
code. Property tests let real servers judge them.
"""

from __future__ import annotations

from bedplate.state.memory.hashes import Hashes
from bedplate.state.memory.keys import Keys
from bedplate.state.memory.lists import Lists
from bedplate.state.memory.sets import Sets
from bedplate.state.memory.sorted import SortedSets
from bedplate.state.memory.streams import Streams
from bedplate.state.memory.strings import Strings

__all__ = ["Keyspace"]


class Keyspace(Strings, Hashes, Sets, SortedSets, Lists, Streams, Keys):
    """All keys of one store, with all commands.

    .. code-block:: python

        def take(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
            if space.set(keys[0], args[0], nx=True, px=args[1]) is None:
                return None
            return space.incrby(keys[1])

    ``space.now`` is the Unix time in µs, ``space.now_ms`` in ms; they stand still within an operation.
    """

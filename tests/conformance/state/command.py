"""A command in two forms: as a server gets it, and as the store in the process does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bedplate.state.memory import Keyspace
from bedplate.state.store import Operation

__all__ = ["Command"]

Act = Callable[[Keyspace], Any]


@dataclass(frozen=True)
class Command:
    """A command as Redis gets it, as the keyspace gets it, and how to read a reply whose order means nothing."""

    words: tuple[Any, ...]
    act: Act
    read: Callable[[Any], Any] = lambda reply: reply
    #: Where among the words the key stands.
    place: int = 1

    def __repr__(self) -> str:
        return " ".join(map(repr, self.words))

    @property
    def operation(self) -> Operation:
        """The same as an operation: words, then one key, then the rest."""
        head = self.words[: self.place]
        return Operation(name="any", command=head, memory=lambda space, _keys, _args: self.act(space))

    @property
    def keys(self) -> list[str]:
        """The key, if it has one."""
        return [self.words[self.place]]

    @property
    def args(self) -> Sequence[Any]:
        """What comes after it."""
        return self.words[self.place + 1 :]

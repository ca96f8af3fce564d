"""What the connections to all servers of one Redis share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from bedplate.state.redis.meters import Meters, OperationMeter
from bedplate.state.redis.packing import Pack, packer
from bedplate.state.redis.pushes import Pushes
from bedplate.state.redis.server import Server
from bedplate.state.redis.settings import RedisSettings
from bedplate.state.redis.slots import ErrorReply, Slot
from bedplate.state.store import Operation

if TYPE_CHECKING:
    from bedplate.state.redis.node import Node

__all__ = ["Common", "Form", "Redirect"]

#: What it takes to send an operation: how it is packed, and what counts it.
Form = tuple[Pack, OperationMeter]


class Redirect(Protocol):
    """Who knows where keys are, when a server says that they are elsewhere."""

    def __call__(self, node: Node, slot: Slot, error: ErrorReply) -> tuple[Node, bool] | None:
        """Return the server to send the operation to, and whether with ``ASKING``; None when it has failed.

        :param error: ``MOVED 3999 127.0.0.1:6381``, or ``ASK …``.
        """
        ...


class Common:
    """The name, the settings, the forms of operations, the listeners, and who is told of what.

    :param label: how other people and the servers (``CLIENT SETNAME``) know us.
    :param admits: returns why a server may not be used, or None; asked after each connection.
    :param turned: called when a server comes or goes. :param redirect: None where servers do not know of each other.
    """

    def __init__(
        self,
        name: str,
        label: str,
        settings: RedisSettings,
        meters: Meters,
        pushes: Pushes,
        *,
        turned: Callable[[Node], None],
        admits: Callable[[Server], str | None] = lambda server: None,
        redirect: Redirect | None = None,
    ) -> None:
        self.name, self.label, self.settings = name, label, settings
        self.meters, self.pushes = meters, pushes
        self.turned, self.admits, self.redirect = turned, admits, redirect
        self.forms: dict[Operation, Form] = {}

    def form(self, operation: Operation) -> Form:
        """Return an operation's form; made when it is first used."""
        form = self.forms.get(operation)
        if form is None:
            form = self.forms[operation] = (packer(operation), self.meters.operation(operation.name))
        return form

    def tracks(self, operation: Operation, keys: Sequence[str]) -> bool:
        """Whether the server is to remember that these keys were read, or written and then read."""
        if not operation.tracked or not (operation.reads or operation.holds):
            return False
        prefixes = self.pushes.prefixes
        return any(key.startswith(prefixes) for key in keys)

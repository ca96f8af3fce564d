"""Those who are told: one channel an Apprise URL."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, get_args

from bedplate.declarations import Severity
from bedplate.monitor.alerts.notify.message import Message
from bedplate.monitor.alerts.notify.settings import Target
from bedplate.monitor.alerts.notify.threads import StuckError, Worker
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from apprise import NotifyBase

__all__ = ["AppriseChannel", "Channel", "DeliveryError", "channels_of", "faults_of"]

_RANK: dict[str, int] = {severity: rank for rank, severity in enumerate(reversed(get_args(Severity)))}


class DeliveryError(BedplateError):
    """A message that was not taken; why is for people to read, and may have to be redacted."""


class Channel(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str:
        """What it is called in metrics, logs and the record of what was sent; it holds no secret."""
        ...

    def takes(self, severity: Severity) -> bool:
        """Return whether it is told of alerts of this severity."""
        ...

    async def send(self, message: Message) -> None:
        """Deliver a message.

        :raises DeliveryError: when that failed, or it cannot be told whether it did not.
        """
        ...


class AppriseChannel:
    """Tells the service behind one Apprise URL.

    Apprise is synchronous and made for a message at a time: it runs in a thread of its own, with a deadline.

    :param timeout: seconds that a message may take.
    """

    def __init__(self, name: str, target: Target, timeout: float) -> None:
        self._name = name
        self._target = target
        self._timeout = timeout
        self._worker: Worker[None] = Worker(f"notify-{name}")
        self._plugin: NotifyBase | None = None

    @property
    def name(self) -> str:
        """Its scheme, with a number where several have the same."""
        return self._name

    def takes(self, severity: Severity) -> bool:
        """Return whether the severity is at least that of the target."""
        return _RANK[severity] >= _RANK[self._target.least]

    async def send(self, message: Message) -> None:
        """Deliver a message by Apprise."""
        try:
            await self._worker.call(lambda: self._notify(message), self._timeout)
        except StuckError as error:
            raise DeliveryError(f"{self._name} did not take it: {error}.") from None

    def _notify(self, message: Message) -> None:
        import apprise

        if self._plugin is None:
            self._plugin = _plugin(self._target, self._timeout)
            if self._plugin is None:
                raise DeliveryError(f"{self._name} is no target that Apprise knows.", "Mend its URL.")
        kind = {"critical": "FAILURE", "warning": "WARNING"}.get(message.severity, "INFO")
        if message.kind in ("resolved", "late"):
            kind = "SUCCESS"
        with _said() as said:
            done = self._plugin.notify(
                body=message.text,
                title=message.title,
                notify_type=apprise.NotifyType[kind],
                body_format=apprise.NotifyFormat.TEXT,
            )
        if not done:
            reason = " ".join(said[-2:]) or "no reason given"
            raise DeliveryError(f"{self._name} did not take it: {reason.rstrip('.')}.")


def channels_of(targets: Sequence[Target], timeout: float) -> list[AppriseChannel]:
    """Return the channels of the targets, named by their schemes: ``slack``, ``slack-2``."""
    counts: dict[str, int] = {}
    result = []
    for target in targets:
        number = counts[target.scheme] = counts.get(target.scheme, 0) + 1
        name = target.scheme if number == 1 else f"{target.scheme}-{number}"
        result.append(AppriseChannel(name, target, timeout))
    return result


def faults_of(targets: Sequence[Target]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the targets, each with its mend; URLs are not repeated, only counted."""
    if not targets:
        return
    try:
        import apprise  # noqa: F401
    except ModuleNotFoundError:
        yield "people are to be told of alerts, and Apprise is not installed.", "Run: pip install 'bedplate[notify]'"
        return
    for number, target in enumerate(targets, 1):
        if _plugin(target, 1.0) is None:
            what = f"entry {number} of the targets, {target.scheme}://…, is no URL that Apprise can use."
            yield what, "Look its form up in Apprise's documentation."


def _plugin(target: Target, timeout: float) -> NotifyBase | None:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="Bedplate",
        app_desc="Alerts",
        async_mode=False,
        http_redirects=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        allow_templates=False,
    )
    with _said(), warnings.catch_warnings():
        # Its first URL makes Apprise load all its plugins, and some of them modules that Python means to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        plugin: Any = apprise.Apprise.instantiate(target.url, asset=asset, suppress_exceptions=True)
    if plugin is not None:
        # What Apprise waits for must be over before we give up on it, or a message that arrived would be sent again.
        plugin.socket_connect_timeout = min(float(plugin.socket_connect_timeout or timeout), timeout / 3)
        plugin.socket_read_timeout = min(max(float(plugin.socket_read_timeout or timeout), timeout / 2), timeout / 2)
    return plugin  # type: ignore[no-any-return]


@contextmanager
def _said() -> Iterator[list[str]]:
    """Collect what Apprise logs in this thread, which is the only place where it says why; nobody else gets it.

    It logs addresses with their tokens when it cannot read them.
    """
    messages: list[str] = []
    thread = threading.get_ident()

    def mine(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        if record.levelno >= logging.WARNING:
            messages.append(record.getMessage())
        return False

    logger = logging.getLogger("apprise")
    logger.addFilter(mine)
    try:
        yield messages
    finally:
        logger.removeFilter(mine)

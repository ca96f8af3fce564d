"""A sign of life to somebody outside, who tells people when it stops: a dead process cannot tell of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bedplate.component import Host
from bedplate.monitor.alerts.notify.metrics import HEARTBEATS
from bedplate.monitor.alerts.notify.posting import PostError, post
from bedplate.monitor.alerts.notify.settings import SecretUrl
from bedplate.monitor.alerts.notify.threads import StuckError, Worker

__all__ = ["Heartbeat"]


class Heartbeat:
    """Asks for an address every minute while alerts are evaluated.

    :param alive: says whether they are; while they are not, no heartbeat goes out, as if the process were dead.
    :param interval: seconds between two. :param timeout: seconds for one.
    """

    def __init__(
        self, url: SecretUrl, host: Host, *, alive: Callable[[], Awaitable[bool]], interval: float, timeout: float
    ) -> None:
        self._url = url
        self._host = host
        self._alive = alive
        self._interval = interval
        self._timeout = timeout
        self._worker: Worker[None] = Worker("heartbeat")
        self._well = True

    async def run(self) -> None:
        """Beat for ever."""
        for outcome in HEARTBEATS.labels[0].values or ():
            self._host.bind(HEARTBEATS, outcome=outcome)
        while True:
            await self.beat()
            await self._host.clock.sleep(self._interval)

    async def beat(self) -> None:
        """Beat once, count it, and log when it begins or ceases to fail."""
        outcome, reason = "ok", ""
        if not await self._alive():
            outcome, reason = "held", "Alerts are not evaluated."
        else:
            try:
                await self._worker.call(lambda: post(self._url.url, timeout=self._timeout / 2), self._timeout)
            except (PostError, StuckError) as error:
                outcome, reason = "failed", str(error)
        self._host.bind(HEARTBEATS, outcome=outcome).inc()
        well = outcome == "ok"
        if well != self._well:
            log = self._host.log.info if well else self._host.log.warning
            log("heartbeat_goes_out" if well else "heartbeat_does_not_go_out", reason=reason)
        self._well = well

"""Telling one channel what it is owed, with back-off while it does not listen.

**At least once.** A message is sent first and noted after. When the process dies between the two, or a target takes a
message and answers too late, it is sent again: with the same id, so that a receiver can drop it. The other order would
lose one instead, and an alert that nobody hears of is worse than one that is heard twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bedplate.component import Host
from bedplate.monitor.alerts.notices import Notice, Notices, NoticeStatus
from bedplate.monitor.alerts.notify.alertmanager import AlertmanagerChannel
from bedplate.monitor.alerts.notify.channels import Channel, DeliveryError
from bedplate.monitor.alerts.notify.message import Kind, Links, compose
from bedplate.monitor.alerts.notify.metrics import DURATION, FAILED, OLDEST, SENT, WAITING
from bedplate.monitor.alerts.notify.plan import Owed, owed

__all__ = ["Courier", "Handover", "Recorder", "backoff"]

#: Seconds until the first and until the latest of further attempts.
_FIRST, _LONGEST = 5.0, 300.0

#: Fingerprint, episode and status of a notice.
News = tuple[str, float, NoticeStatus]


def backoff(attempts: int, chance: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after so many failed attempts: doubled each time, with jitter down to the half.

    :param chance: gives numbers from 0 to 1.
    """
    return min(_LONGEST, _FIRST * 2.0 ** min(attempts - 1, 16)) * (0.5 + 0.5 * chance())


@dataclass(slots=True)
class Recorder:
    """Counts and logs what becomes of the messages of one channel.

    :ivar failures: attempts in a row that failed. :ivar error: why the last one did.
    """

    host: Host
    channel: str
    clean: Callable[[str], str]
    failures: int = 0
    error: str = ""
    not_before: float = 0.0

    def sent(self, kind: Kind, started: float, **context: object) -> None:
        """Note that it took a message."""
        self.failures, self.error, self.not_before = 0, "", 0.0
        self.host.bind(SENT, channel=self.channel, kind=kind).inc()
        self.host.bind(DURATION, channel=self.channel).observe(self.host.clock.monotonic() - started)
        self.host.log.info("notification_sent", channel=self.channel, kind=kind, **context)

    def failed(self, error: BaseException, **context: object) -> None:
        """Note that it did not, and do not ask it again too soon."""
        self.failures += 1
        self.error = self.clean(str(error))
        self.host.bind(FAILED, channel=self.channel).inc()
        wait = backoff(self.failures)
        self.not_before = self.host.clock.monotonic() + wait
        self.host.log.warning(
            "notification_failed",
            channel=self.channel,
            error=self.error,
            attempts=self.failures,
            again_in=round(wait, 1),
            **context,
        )

    def waiting(self, count: int, oldest: float) -> None:
        """Note how much the channel was not told of yet, and for how many seconds the oldest of it waits."""
        self.host.bind(WAITING, channel=self.channel).set(float(count))
        self.host.bind(OLDEST, channel=self.channel).set(oldest)


@dataclass(slots=True)
class _Attempts:
    """What is known of something that the channel was not told of yet."""

    since: float
    count: int = 0
    not_before: float = 0.0


class Courier:
    """Tells one channel, message by message, the oldest of the gravest first.

    One message that is never taken does not keep the others: after a failure it steps back behind them.

    :param repeat: seconds after which an alert is told of again. :param clean: takes secrets out of errors.
    """

    def __init__(
        self,
        channel: Channel,
        notices: Notices,
        host: Host,
        *,
        repeat: float,
        clean: Callable[[str], str],
        links: Links | None = None,
    ) -> None:
        self.channel = channel
        self.recorder = Recorder(host, channel.name, clean)
        self._notices = notices
        self._host = host
        self._repeat = repeat
        self._links = links
        self._started = host.clock.time()
        self._attempts: dict[News, _Attempts] = {}

    async def deliver(self) -> None:
        """Tell the channel all that it is owed now and takes."""
        notices = await self._notices.notices()
        open_news = self._owed(notices)
        self._note_waiting(open_news)
        now = self._host.clock.monotonic()
        if now < self.recorder.not_before:
            return
        # Sorting is stable: among equals the order of the notices, by severity and age, stands.
        for news, notice, what in sorted(open_news, key=lambda each: self._attempts[each[0]].count):
            if now >= self._attempts[news].not_before and not await self._tell(news, notice, what):
                break
        self._note_waiting(self._owed(await self._notices.notices()))

    def _owed(self, notices: Sequence[Notice]) -> list[tuple[News, Notice, Owed]]:
        name, now = self.channel.name, self._host.clock.time()
        known_since = None if any(name in notice.sent for notice in notices) else self._started
        found: list[tuple[News, Notice, Owed]] = []
        for notice in notices:
            if not self.channel.takes(notice.lead.severity):
                continue
            tried = (notice.fingerprint, notice.episode, "firing") in self._attempts
            what = owed(notice, name, now, self._repeat, tried=tried, known_since=known_since)
            if what is not None:
                found.append(((notice.fingerprint, notice.episode, notice.status), notice, what))
        return found

    def _note_waiting(self, open_news: list[tuple[News, Notice, Owed]]) -> None:
        now = self._host.clock.monotonic()
        waiting = {news for news, _, what in open_news if what.kind is not None}
        episodes = {(fingerprint, episode) for fingerprint, episode, _ in waiting}
        for news in waiting:
            self._attempts.setdefault(news, _Attempts(now))
        # That a firing was tried is remembered until its end is told.
        for news in [news for news in self._attempts if news not in waiting and news[:2] not in episodes]:
            del self._attempts[news]
        for news, _, _ in open_news:
            self._attempts.setdefault(news, _Attempts(now))
        oldest = max((now - self._attempts[news].since for news in waiting), default=0.0)
        self.recorder.waiting(len(waiting), oldest)

    async def _tell(self, news: News, notice: Notice, what: Owed) -> bool:
        """Tell one notice and note it; return whether the channel listens."""
        if what.kind is None:
            await self._notices.note_sent(notice, self.channel.name)
            return True
        clock = self._host.clock
        message = compose(notice, what.kind, clock.time(), times=what.times, links=self._links)
        context = {"alert": notice.lead.name, "fingerprint": notice.fingerprint, "notice": message.id}
        started = clock.monotonic()
        try:
            await self.channel.send(message)
        except DeliveryError as error:
            attempts = self._attempts[news]
            attempts.count += 1
            attempts.not_before = clock.monotonic() + backoff(attempts.count)
            self.recorder.failed(error, kind=what.kind, **context)
            return False
        await self._notices.note_sent(notice, self.channel.name)
        self.recorder.sent(what.kind, started, **context)
        return True


@dataclass(slots=True)
class Handover:
    """Hands everything that fires to one Alertmanager, again and again, and what has ended once more.

    What is silenced here is not handed over; what Alertmanager does with the rest is its own affair.
    """

    channel: AlertmanagerChannel
    notices: Notices
    host: Host
    recorder: Recorder
    _last: float = field(default=float("-inf"), init=False)
    _since: dict[News, float] = field(default_factory=dict, init=False)

    async def deliver(self) -> None:
        """Send what it does not know yet, and everything once its interval is over."""
        name, clock = self.channel.name, self.host.clock
        now, instant = clock.time(), clock.monotonic()
        firing, changed = [], []
        for notice in await self.notices.notices():
            last = notice.sent.get(name)
            told = last is not None and abs(last.episode - notice.episode) < 1e-3 and last.status == notice.status
            if notice.status == "firing" and not notice.silenced:
                firing.append(notice)
            if not told and (notice.status == "resolved" or not notice.silenced):
                # Of an end whose beginning it never heard of it need not hear; but it does no harm, and it may be late.
                changed.append(notice)
        self._note_waiting(changed, instant)
        if instant < self.recorder.not_before or not (changed or firing):
            return
        if not changed and instant - self._last < self.channel.resend:
            return
        ended = [notice for notice in changed if notice.status == "resolved"]
        started = clock.monotonic()
        try:
            await self.channel.send([*firing, *ended], now)
        except DeliveryError as error:
            self.recorder.failed(error, alerts=len(firing) + len(ended))
            return
        self._last = instant
        for notice in changed:
            await self.notices.note_sent(notice, name)
        if changed:
            kind: Kind = "firing" if len(ended) < len(changed) else "resolved"
            self.recorder.sent(kind, started, alerts=len(firing) + len(ended))
        self._note_waiting([], instant)

    def _note_waiting(self, changed: Sequence[Notice], instant: float) -> None:
        news = {(notice.fingerprint, notice.episode, notice.status) for notice in changed}
        self._since = {each: self._since.get(each, instant) for each in news}
        self.recorder.waiting(len(news), max((instant - since for since in self._since.values()), default=0.0))

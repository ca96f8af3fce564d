"""Who hears of what, how often, and what happens while they do not listen."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bedplate.component import HasActions
from bedplate.declarations import Actor, Severity
from bedplate.monitor.alerts.notices import Sent
from bedplate.monitor.alerts.notify import Notifier, NotifySettings
from bedplate.monitor.alerts.notify.channels import DeliveryError
from bedplate.monitor.alerts.notify.courier import backoff
from bedplate.monitor.alerts.notify.message import Message
from bedplate.monitor.alerts.notify.metrics import FAILED, OLDEST, SENT, WAITING
from bedplate.monitor.alerts.rules import rules
from bedplate.problems import BedplateError
from bedplate.telemetry.redaction import Redactor
from tests.unit.monitor.alerts.notify.telling import START, Engine, Receiver, Telling, alert, notice, receiver, serving

MINUTE = 60.0


def notifier(engine: Engine, *targets: Receiver | str, **settings: Any) -> Notifier:
    urls = tuple(target if isinstance(target, str) else target.url for target in targets)
    return Notifier(NotifySettings(notify_urls=urls, **settings), alerts=engine)


def severe(severity: str, fingerprint: str = "f1") -> Any:
    return notice(alert(severity=severity, fingerprint=fingerprint, key=fingerprint, name=severity.capitalize()))


async def test_people_hear_once_that_it_fires_and_once_that_it_ends() -> None:
    engine = Engine()
    with receiver() as hook:
        async with serving(engine, notifier(engine, hook)) as service:
            engine.says(notice())
            await service.eventually(lambda: len(hook.got) == 1)
            for _ in range(5):
                await service.clock.advance(10)
            engine.resolves("f1", START + 60)
            await service.eventually(lambda: len(hook.got) == 2)
            await service.eventually(lambda: engine.sent["f1"]["json"].status == "resolved")
            await service.clock.advance(60)
            assert hook.titles == [
                "[warning] CacheHitRateLow on ledger",
                "[resolved] CacheHitRateLow on ledger",
            ]
            assert [each["type"] for each in hook.got] == ["warning", "success"]
            assert "Reports are slow: only 42 % of them come from the cache." in hook.got[0]["message"]
            assert service.total(SENT, channel="json", kind="firing") == 1
            assert service.total(SENT, channel="json", kind="resolved") == 1


async def test_they_hear_again_until_somebody_acknowledges_it() -> None:
    engine = Engine()
    with receiver() as hook:
        async with serving(engine, notifier(engine, hook, notify_repeat=MINUTE)) as service:
            engine.says(notice())
            await service.eventually(lambda: "f1" in engine.sent)
            await service.clock.advance(MINUTE - 10)
            assert len(hook.got) == 1
            await service.clock.advance(15)
            await service.eventually(lambda: engine.sent["f1"]["json"].times == 2)
            assert hook.titles[1] == "[warning, still firing] CacheHitRateLow on ledger"
            assert hook.got[0]["message"].splitlines()[-1] != hook.got[1]["message"].splitlines()[-1]
            engine.acknowledges("f1")
            await service.clock.advance(5 * MINUTE)
            assert len(hook.got) == 2


async def test_what_is_silenced_is_told_when_the_silence_ends() -> None:
    engine = Engine()
    with receiver() as hook:
        async with serving(engine, notifier(engine, hook)) as service:
            engine.current["f1"] = notice(alert(silenced_by=("s1",)))
            await service.clock.advance(MINUTE)
            assert hook.got == []
            engine.silences("f1")
            await service.eventually(lambda: len(hook.got) == 1)


async def test_each_hears_only_of_what_is_bad_enough_for_them() -> None:
    engine = Engine()
    with receiver() as all_of_it, receiver() as worst:
        async with serving(engine, notifier(engine, all_of_it, f"critical={worst.url}")) as service:
            engine.says(severe("info", "f1"), severe("warning", "f2"), severe("critical", "f3"))
            await service.eventually(lambda: len(all_of_it.got) == 3 and len(worst.got) == 1)
            await service.clock.advance(30)
            assert worst.titles == ["[critical] Critical on ledger"]
            assert [each["type"] for each in worst.got] == ["failure"]


async def test_nothing_is_lost_while_a_target_is_away_and_others_do_not_wait() -> None:
    engine = Engine()
    with receiver() as away, receiver() as there:
        away.status = 503
        async with serving(engine, notifier(engine, away, there)) as service:
            engine.says(notice())
            await service.eventually(lambda: len(there.got) == 1 and len(away.asked) == 1)
            await service.eventually(lambda: service.total(FAILED, channel="json"))
            engine.resolves("f1", START + 60)
            await service.eventually(lambda: len(there.got) == 2)
            asked = len(away.asked)
            for _ in range(10):
                await service.clock.advance(60)
                await asyncio.sleep(0.02)
            await service.eventually(lambda: len(away.asked) > asked)
            await service.eventually(lambda: service.total(OLDEST, channel="json") >= 500)
            assert service.total(WAITING, channel="json") == 1
            away.status = 200

            async def told() -> bool:
                await service.clock.advance(60)
                return bool(away.got) and service.total(WAITING, channel="json") == 0

            await service.eventually(told)
            assert away.titles == ["[warning, resolved] CacheHitRateLow on ledger"]
            assert service.total(OLDEST, channel="json") == 0


class Deaf:
    """A channel that takes nothing, and notes when it was asked to."""

    name = "deaf"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.listens = False

    def takes(self, severity: Severity) -> bool:
        return True

    async def send(self, message: Message) -> None:
        self.asked.append(message.id)
        if not self.listens:
            raise DeliveryError("deaf did not take it: no token.")


async def test_a_target_that_is_away_is_asked_less_and_less_often_and_degrades_the_component() -> None:
    engine, deaf = Engine(), Deaf()
    async with serving(engine, Notifier(alerts=engine, channels=[deaf])) as service:
        engine.says(notice())
        await service.clock.advance(0)
        gaps = []
        for attempts in range(1, 10):
            assert len(deaf.asked) == attempts
            before = service.clock.monotonic()
            while len(deaf.asked) == attempts:
                await service.clock.advance(1)
            gaps.append(service.clock.monotonic() - before)
        for gap, longest in zip(gaps, (5, 10, 20, 40, 80, 160, 300, 300, 300), strict=True):
            assert longest / 2 <= gap <= longest + 4  # what waits is looked at every few seconds
        assert len(set(deaf.asked)) == 1
        assert service.reason == "deaf did not take it: no token."
        deaf.listens = True
        await service.clock.advance(304)
        assert service.reason is None
        assert len(deaf.asked) == 11


def failed(service: Telling, times: int) -> bool:
    return service.total(FAILED, channel="json") == times


def test_back_off_doubles_up_to_five_minutes_with_jitter() -> None:
    assert [backoff(attempts, lambda: 1.0) for attempts in (1, 2, 3, 7, 8, 10_000)] == [5, 10, 20, 300, 300, 300]
    assert [backoff(attempts, lambda: 0.0) for attempts in (1, 2, 10_000)] == [2.5, 5, 150]


async def test_one_message_that_is_never_taken_does_not_keep_the_others() -> None:
    engine = Engine()
    with receiver() as hook:
        hook.status = 400
        async with serving(engine, notifier(engine, hook)) as service:
            engine.says(notice())
            await service.eventually(lambda: failed(service, 1))
            engine.says(severe("warning", "f2"))
            hook.status = 200

            async def told() -> bool:
                await service.clock.advance(10)
                return len(hook.got) == 2

            await service.eventually(told)
            assert hook.titles[0] == "[warning] Warning on ledger"  # the one that failed steps back


async def test_a_target_that_hangs_is_given_up_on_and_holds_nobody_up() -> None:
    engine = Engine()
    with receiver() as hung, receiver() as there:
        hung.hangs = threading.Event()
        async with serving(engine, notifier(engine, hung, there, notify_timeout=0.2)) as service:
            engine.says(notice())
            await service.eventually(lambda: len(there.got) == 1)
            await service.eventually(lambda: failed(service, 1))
            assert hung.got == []


async def test_a_restart_neither_repeats_nor_forgets() -> None:
    sent: dict[str, dict[str, Sent]] = {}
    with receiver() as hook:
        for _ in range(2):
            engine = Engine(sent)
            engine.current["f1"] = notice()
            async with serving(engine, notifier(engine, hook)) as service:
                await service.eventually(lambda: "f1" in sent)
                await service.clock.advance(30)
        assert len(hook.got) == 1
        hook.status = 503
        engine = Engine(sent)
        engine.current["f1"] = notice()
        async with serving(engine, notifier(engine, hook)) as service:
            engine.resolves("f1", START + 60)
            await service.eventually(lambda: failed(service, 1))
        hook.status = 200
        ended = Engine(sent)
        ended.current = engine.current
        async with serving(ended, notifier(ended, hook)) as service:
            await service.eventually(lambda: len(hook.got) == 2)
        assert hook.titles[1] == "[resolved] CacheHitRateLow on ledger"


async def test_a_crash_between_sending_and_noting_sends_again_with_the_same_id() -> None:
    engine = Engine()
    note_sent, engine.note_sent = engine.note_sent, _crash  # type: ignore[method-assign]
    with receiver() as hook:
        async with serving(engine, notifier(engine, hook)) as service:
            engine.says(notice())
            await service.eventually(lambda: len(hook.got) == 1)
        engine.note_sent = note_sent  # type: ignore[method-assign]
        async with serving(engine, notifier(engine, hook)) as service:
            await service.eventually(lambda: "f1" in engine.sent)
        first, second = (each["message"].splitlines()[-1] for each in hook.got)
        assert first == second
        assert first.startswith("Notice ")


async def _crash(*_: Any) -> None:
    raise asyncio.CancelledError


async def test_of_several_instances_the_one_with_the_lease_tells() -> None:
    lock = asyncio.Lock()

    class Shared:
        name = "notify"

        def hold(self, host: Any) -> Any:
            return _held(lock)

    engine = Engine(lease=Shared())
    with receiver() as hook:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(serving(engine, notifier(engine, hook)))
            second = await stack.enter_async_context(serving(engine, notifier(engine, hook)))
            engine.says(notice())
            await first.eventually(lambda: "f1" in engine.sent)
            for service in (first, second):
                await service.clock.advance(30)
            assert len(hook.got) == 1


def _held(lock: asyncio.Lock) -> Any:
    return lock


async def test_a_channel_that_is_new_does_not_hear_of_old_times() -> None:
    engine = Engine()
    over = alert(state="resolved", resolved_at=START - 3600, fired_at=START - 7200)
    engine.current["f1"] = notice(over, resolved_at=START - 3600, episode=START - 7200)
    with receiver() as hook:
        async with serving(engine, notifier(engine, hook)) as service:
            await service.eventually(lambda: "f1" in engine.sent)
            await service.clock.advance(30)
            assert hook.got == []


async def test_an_engine_that_fails_for_a_while_is_waited_for() -> None:
    engine = Engine()
    with receiver() as hook:
        async with serving(engine, notifier(engine, hook)) as service:
            engine.broken = True
            engine.says(notice())
            await service.eventually(lambda: service.total(FAILED, channel="json"))
            engine.broken = False

            async def told() -> bool:
                await service.clock.advance(10)
                return len(hook.got) == 1

            await service.eventually(told)


async def press(component: Notifier, **given: str) -> Any:
    (action,) = component.actions()
    assert action.parameters is not None
    return await action.run(action.parameters(**given), Actor("ada", "operator"))


async def test_the_button_shows_whether_messages_arrive() -> None:
    engine = Engine()
    with receiver() as good, receiver() as bad:
        bad.status = 404
        component = notifier(engine, good, bad)
        assert isinstance(component, HasActions)
        async with serving(engine, component):
            answer = await press(component)
            assert answer["channels"][0] == {"channel": "json", "delivered": True}
            assert answer["channels"][1]["delivered"] is False
            assert "error=404" in answer["channels"][1]["error"]
            assert good.titles == ["[test] Notifications of ledger"]
            assert "ada asked at" in good.got[0]["message"]
            answer = await press(component, channel="json")
            assert [each["channel"] for each in answer["channels"]] == ["json"]
            with pytest.raises(BedplateError, match="There are: json, json-2"):
                await press(component, channel="slack")
        (action,) = Notifier(alerts=engine).actions()
        assert action.refused is not None
        assert "BEDPLATE_ALERTS__NOTIFY_URLS" in str(action.refused())


async def test_no_secret_of_a_target_is_ever_written_down(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    engine, redactor = Engine(), Redactor()
    with receiver() as hook:
        hook.status = 500
        url = f"json://ada:hunter2pass@127.0.0.1:{hook.server_port}/T0kenWith16Chars"
        settings = NotifySettings(notify_urls=(url,))  # type: ignore[arg-type]
        component = Notifier(settings, alerts=engine, redactor=redactor)
        async with serving(engine, component) as service:
            engine.says(notice())
            await service.eventually(lambda: failed(service, 1))
            said = str(service.log.events)
        for text in (redactor.text(caplog.text), said, repr(component.spec), settings.model_dump_json()):
            assert "hunter2pass" not in text
            assert "T0kenWith16Chars" not in text


def test_its_alerts_are_promql_and_have_a_page_each() -> None:
    spec = Notifier(alerts=Engine()).spec
    assert all(rule.section for rule in rules("ledger", [spec]))
    assert {alert.name for alert in spec.alerts} == {"AlertNotificationsFailing", "AlertHeartbeatFailing"}


async def test_a_process_that_does_not_watch_tells_nobody() -> None:
    engine = Engine()
    engine.active = False
    with receiver() as hook:
        async with serving(engine, notifier(engine, hook)) as service:
            engine.says(notice())
            await service.clock.advance(60)
            assert hook.asked == []

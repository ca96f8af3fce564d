"""The sign of life that goes outwards, and what keeps it back."""

from __future__ import annotations

from bedplate.monitor.alerts.notify import Notifier, NotifySettings
from bedplate.monitor.alerts.notify.metrics import HEARTBEATS
from tests.unit.monitor.alerts.notify.telling import Engine, Evaluation, Receiver, Telling, receiver, serving


def beating(engine: Engine, hook: Receiver) -> Notifier:
    url = f"http://127.0.0.1:{hook.server_port}/ping/T0kenWith16Chars"
    return Notifier(NotifySettings(heartbeat_url=url), alerts=engine)  # type: ignore[arg-type]


def beats(service: Telling, outcome: str, times: int) -> bool:
    return service.total(HEARTBEATS, outcome=outcome) == times


async def test_it_beats_every_minute() -> None:
    engine = Engine()
    with receiver() as hook:
        async with serving(engine, beating(engine, hook)) as service:
            for times in range(1, 4):
                await service.eventually(lambda n=times: beats(service, "ok", n))  # type: ignore[misc]
                await service.clock.advance(60)
            assert hook.asked[0] == "GET /ping/T0kenWith16Chars"
            assert len(hook.asked) >= 3


async def test_a_beat_that_fails_is_counted_and_the_next_one_is_tried() -> None:
    engine = Engine()
    with receiver() as hook:
        hook.status = 500
        async with serving(engine, beating(engine, hook)) as service:
            await service.eventually(lambda: beats(service, "failed", 1))
            hook.status = 200
            await service.clock.advance(60)
            await service.eventually(lambda: beats(service, "ok", 1))


async def test_it_is_held_back_while_alerts_are_not_evaluated() -> None:
    engine = Engine()
    with receiver() as hook:
        async with serving(engine, beating(engine, hook)) as service:
            await service.eventually(lambda: beats(service, "ok", 1))
            engine.evaluated = [
                Evaluation(30, service.clock.time()),
                Evaluation(300, service.clock.time() - 200),
                Evaluation(30, None),
            ]
            await service.clock.advance(60)
            await service.eventually(lambda: beats(service, "ok", 2))
            await service.clock.advance(60)
            await service.eventually(lambda: beats(service, "ok", 3))
            await service.clock.advance(60)  # three minutes without an evaluation that is due every 30 seconds
            await service.eventually(lambda: beats(service, "held", 1))
            asked = len(hook.asked)
            engine.evaluated = []
            engine.broken = True
            await service.clock.advance(60)
            await service.eventually(lambda: beats(service, "held", 2))
            assert len(hook.asked) == asked

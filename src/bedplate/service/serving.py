"""The ASGI lifespan of services: acknowledged at once, started behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Send

from bedplate.problems import BedplateError
from bedplate.service.heap import settle

if TYPE_CHECKING:
    from bedplate.service.service import Service

__all__ = ["serve_lifespan"]

_logger = logging.getLogger("bedplate.service")


async def serve_lifespan(services: Sequence[Service], receive: Receive, send: Send) -> None:
    """Start the services behind an acknowledged start-up, so that probes are answered meanwhile; stop them at the end.

    Services start side by side. When one fails, its ``on_failure`` ends the process: half a process is no process.
    """
    message = await receive()
    assert message["type"] == "lifespan.startup"
    await send({"type": "lifespan.startup.complete"})
    ended = asyncio.Event()
    owners = [asyncio.create_task(_own(service, ended), name=f"{service.name}/serve") for service in services]
    try:
        while (await receive())["type"] != "lifespan.shutdown":
            pass
    finally:
        ended.set()
        for service in services:
            service.builtins.health.drain()
        await asyncio.wait(owners)
    await send({"type": "lifespan.shutdown.complete"})


async def _own(service: Service, ended: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        starting = asyncio.ensure_future(stack.enter_async_context(service.running()))
        stopping = asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                # Told to stop in the middle of the start: unwind what has started.
                starting.cancel()
                await asyncio.wait([starting])
                return
            lost = starting.result().lifecycle.lost
            settle()
            service.builtins.logger("service").info("serving", at=", ".join(service.addresses) or None)
            service.on_started()
            either: list[asyncio.Future[Any]] = [lost, stopping]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                _fail(service, lost.result())
        except Exception as error:
            _fail(service, error)
        finally:
            stopping.cancel()
        await ended.wait()


def _fail(service: Service, error: Exception) -> None:
    # The reader of a start-up fault wants the sentence; the traceback helps whoever wrote the component. What is no
    # fault that Bedplate tells of has nothing but its traceback.
    told = isinstance(error, BedplateError) and error.__cause__ is None
    _logger.critical("%s", error, exc_info=None if told else error)
    # Not through the entry, whose making may be what has failed.
    service.builtins.health.fail()
    service.on_failure(error)

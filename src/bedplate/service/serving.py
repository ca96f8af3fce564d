"""The ASGI lifespan of services: acknowledged at once, started behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from starlette.types import Receive, Send

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
            service.entry.drain()
        await asyncio.wait(owners)
    await send({"type": "lifespan.shutdown.complete"})


async def _own(service: Service, ended: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        starting = asyncio.ensure_future(stack.enter_async_context(service.running()))
        stopping = asyncio.create_task(ended.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                # Told to stop in the middle of the start: unwind what has started.
                starting.cancel()
                await asyncio.wait([starting])
                return
            starting.result()
        except Exception as error:
            # The reader of a start-up fault wants the sentence; the traceback helps whoever wrote the component.
            _logger.critical("%s", error, exc_info=error if error.__cause__ is not None else None)
            service.entry.fail(error)
            service.on_failure(error)
        finally:
            stopping.cancel()
        await ended.wait()

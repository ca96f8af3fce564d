"""PromQL between processes of one host: a web worker takes no samples, so it asks the ops process, which does.

The question goes over the same unix socket as everything else between them; only the user of the service can open it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h11
import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Sample, Vector
from bedplate.monitor.prometheus_api.transport import TransportError, exchange
from bedplate.monitor.samples.queries import Queries
from bedplate.problems import BedplateError, Problem
from bedplate.service.asgi import send_json, send_problem

__all__ = ["Asking", "answering"]

#: Where a worker asks, on the unix socket only.
QUESTIONS = "/-/query/"

#: Seconds for a question, the answering side's own time limit aside.
PATIENCE = 60.0


class Asking:
    """Asks the ops process of this host; a :class:`~bedplate.monitor.samples.queries.Remote`.

    :param path: the unix socket that it listens on. :param service: whose samples are asked.
    """

    def __init__(self, path: Path, service: str) -> None:
        self._path = str(path)
        self._service = service

    async def vector(self, expr: str, at: float | None) -> Vector:
        """Return the value of an expression at a time, now by default.

        :raises BedplateError: when the ops process is away, or cannot say.
        """
        body = orjson.dumps({"expr": expr, "at": at})
        try:
            async with asyncio.timeout(PATIENCE):
                status, answer = await self._asked(body)
                document = orjson.loads(answer)
        except (OSError, TimeoutError, TransportError, h11.ProtocolError, ValueError) as error:
            raise BedplateError(
                "The ops process of this host, which takes the samples, does not answer.",
                "It is restarted when it has died; ask again in a moment.",
            ) from error
        if status != 200:
            raise BedplateError(document.get("what", document.get("detail", "")), document.get("mend", ""))
        return tuple(Sample(labels, float(value)) for labels, value in document["samples"])

    async def _asked(self, body: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_unix_connection(self._path)
        headers = [("host", "ops"), ("content-length", str(len(body))), ("connection", "close")]
        request = h11.Request(method="POST", target=f"{QUESTIONS}{self._service}", headers=headers)
        return await exchange(reader, writer, request, body)


def answering(app: ASGIApp, queries: Mapping[str, Queries]) -> ASGIApp:
    """Return ``app`` with the entrance for questions; for the ops process' unix socket only.

    :param queries: who answers for each service.
    """

    async def answering_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(QUESTIONS):
            await app(scope, receive, send)
            return
        name = scope["path"].removeprefix(QUESTIONS)
        asked = queries.get(name)
        if asked is None:
            await send_problem(scope, receive, send, Problem(status=404, detail=f"There is no service {name!r}."))
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # the worker died in the middle of it
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, document = await _answered(asked, bytes(body))
        await send_json(scope, send, document, status=status)

    return answering_app


async def _answered(queries: Queries, body: bytes) -> tuple[int, Any]:
    try:
        question = orjson.loads(body)
        vector = await queries.vector(question["expr"], question["at"])
    except BedplateError as error:
        return 422, {"what": error.what, "mend": error.mend}
    except (ValueError, LookupError, TypeError) as error:
        return 400, {"what": f"The question cannot be read: {error}.", "mend": ""}
    # JSON knows neither NaN nor infinity.
    return 200, {"samples": [[sample.labels, repr(sample.value)] for sample in vector]}

"""Asking before doing, over HTTP: 202 with where to decide, and routes on which users decide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bedplate.state.confirmations.component import Confirmations
from bedplate.state.confirmations.confirmation import Confirmation
from bedplate.state.confirmations.errors import UnknownConfirmationError

__all__ = ["accepted", "confirmation_routes"]

T = TypeVar("T")
Who = Callable[[Request], Awaitable[str]]

_NO_STORE = {"Cache-Control": "no-store"}
_MOST = 64 * 1024


def accepted(confirmations: Confirmations[T], asked: Confirmation[T], prefix: str = "/confirmations") -> JSONResponse:
    """Return the answer of an endpoint that has asked instead of done: 202, and in ``Location`` where it is decided.

    :param prefix: where the routes are, from the root of the application; where that is mounted is put before it.
    """
    return _Accepted(f"{prefix}/{asked.id}", confirmations.codec.shown(asked))


class _Accepted(JSONResponse):
    """A 202 that learns where its application is mounted when it is sent."""

    def __init__(self, path: str, document: Any) -> None:
        super().__init__(document, 202, _NO_STORE)
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("app_root_path", scope.get("root_path", ""))
        self.headers["Location"] = f"{root}{self._path}"
        await super().__call__(scope, receive, send)


def confirmation_routes(confirmations: Confirmations[Any], who: Who, prefix: str = "/confirmations") -> list[Route]:
    """Return routes on which users see and decide what they were asked: ``app.routes.extend(…)``.

    ``GET /confirmations``, ``GET /confirmations/{id}``, ``POST /confirmations/{id}/confirm``, ``…/reject``,
    ``…/correct`` with what is right instead. Each user sees their own and nobody else's (404). A decision that is
    posted again is answered alike; another one is refused with 409.

    :param who: returns the user of a request, or raises HTTPException 401.
    """

    async def mine(request: Request) -> Confirmation[Any]:
        id, user = str(request.path_params["id"]), await who(request)
        found = await confirmations.get(id)
        if found is None or found.user != user:
            raise UnknownConfirmationError(id)
        return found

    def shown(confirmation: Confirmation[Any]) -> JSONResponse:
        return JSONResponse(confirmations.codec.shown(confirmation), headers=_NO_STORE)

    async def all_of_mine(request: Request) -> JSONResponse:
        found = await confirmations.pending(await who(request))
        items = [confirmations.codec.shown(one) for one in found]
        return JSONResponse({"items": items, "count": len(items)}, headers=_NO_STORE)

    async def one(request: Request) -> JSONResponse:
        return shown(await mine(request))

    async def confirm(request: Request) -> JSONResponse:
        found = await mine(request)
        return shown(await confirmations.confirm(found.id, found.user))

    async def reject(request: Request) -> JSONResponse:
        found = await mine(request)
        return shown(await confirmations.reject(found.id, found.user))

    async def correct(request: Request) -> JSONResponse:
        found = await mine(request)
        return shown(await confirmations.correct(found.id, found.user, await _body(request, confirmations)))

    return [
        Route(prefix, all_of_mine, methods=["GET"]),
        Route(f"{prefix}/{{id}}", one, methods=["GET"]),
        Route(f"{prefix}/{{id}}/confirm", confirm, methods=["POST"]),
        Route(f"{prefix}/{{id}}/reject", reject, methods=["POST"]),
        Route(f"{prefix}/{{id}}/correct", correct, methods=["POST"]),
    ]


async def _body(request: Request, confirmations: Confirmations[T]) -> T:
    """Return what is right instead. Raises HTTPException 413 and 422."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > _MOST:
            raise HTTPException(413)
    try:
        return confirmations.codec.adapter.validate_json(bytes(raw))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        detail: Any = {
            "detail": f"{len(faults)} {'value is' if len(faults) == 1 else 'values are'} not valid; see errors.",
            "errors": [{"pointer": _pointer(one["loc"]), "detail": one["msg"], "type": one["type"]} for one in faults],
        }
        raise HTTPException(422, detail) from None


def _pointer(path: tuple[int | str, ...]) -> str:
    return "#" + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)

"""Several services in one process: the demo, or a small installation."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from starlette.types import ASGIApp, Receive, Scope, Send

from bedplate.component import Component
from bedplate.console.together import Together
from bedplate.problems import DeclarationError, Problem, Refusal
from bedplate.service.asgi import send_json, send_problem, send_response
from bedplate.service.pages import page, wants_html
from bedplate.service.service import Service
from bedplate.service.serving import serve_lifespan

__all__ = ["Process"]


class Process:
    """Several services behind one port, each whole and mounted at ``/<name>``.

    The root answers ``/livez`` and ``/readyz`` for all of them, shows an index, and has the console that tells of all,
    which is that of the only service where there is but one.

    :raises DeclarationError: when there is no service, when two have one name, or share a component object, whose
        cells and tasks can belong to one service only.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self.services = tuple(services)
        if not self.services:
            raise DeclarationError("A process without a service has nothing to do.", "Give it one.")
        self._mounts: dict[str, Service] = {}
        owners: dict[int, tuple[Service, Component]] = {}
        for service in self.services:
            if service.name in self._mounts or service.name in ("livez", "readyz", "console"):
                raise DeclarationError(f"Two things are called {service.name!r} in one process.", "Rename a service.")
            self._mounts[service.name] = service
            for component in service.components:
                owner, _ = owners.setdefault(id(component), (service, component))
                if owner is not service:
                    raise DeclarationError(
                        f"The component {component.spec.label} is in {owner.name} and in {service.name}.",
                        "Construct one for each service; they may share a server, not an object.",
                    )
        self._relay: ASGIApp | None = None
        self._console = self._together()

    def refusals(self) -> list[Refusal]:
        """Return every reason why one of the services may not start."""
        return [refusal for service in self.services for refusal in service.refusals()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope: the lifespan of all services, or a request of one of them."""
        if scope["type"] == "lifespan":
            await serve_lifespan(self.services, receive, send)
            return
        root = scope.get("root_path", "")
        name = scope["path"].removeprefix(root).lstrip("/").partition("/")[0]
        service = self._mounts.get(name)
        if service is not None:
            # Records of the standard library do not say whose they are; the context does.
            service.builtins.logs.mark()
            service.builtins.errors.mark()
            await service(_below(scope, f"{root}/{name}"), receive, send)
        elif scope["type"] == "http":
            await self._root(name, scope, receive, send)
        else:
            await send_problem(scope, receive, send, Problem(status=404, detail="Nothing is here."))

    def relay(self, app: ASGIApp) -> None:
        """Pass what is asked of the console that tells of all on to ``app``."""
        self._relay = app

    async def manage(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what operators ask for of each service, below its name, and nothing else; for a port of their own."""
        root = scope.get("root_path", "")
        name = scope["path"].removeprefix(root).lstrip("/").partition("/")[0]
        service = self._mounts.get(name)
        if service is not None:
            await service.entry.manage(_below(scope, f"{root}/{name}"), receive, send)
        else:
            await self._root(name, scope, receive, send)

    def _together(self) -> ASGIApp:
        if len(self.services) == 1:
            return self._only
        first = self.services[0].builtins
        together = Together({service.name: service.builtins.console for service in self.services}, _nowhere)
        return first.http.wrap(together, sink=first.access_sink, service=self.services[0].name)

    async def _only(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead to the console of the only service."""
        target = f"{scope.get('root_path', '')}/{self.services[0].name}/console/"
        await send_response(scope, send, 307, [(b"location", target.encode()), (b"cache-control", b"no-store")], b"")

    async def _root(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        if name == "console":
            await (self._console if self._relay is None else self._relay)(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            problem = Problem(status=405, detail="The root can only be read.", headers={"Allow": "GET, HEAD"})
            await send_problem(scope, receive, send, problem)
        elif name == "livez":
            await send_json(scope, send, {"status": "alive"})
        elif name == "readyz":
            states = {service.name: service.entry.ready for service in self.services}
            ready = all(states.values())
            document = {"status": "ready" if ready else "unready", "services": states}
            await send_json(scope, send, document, status=200 if ready else 503)
        elif name == "":
            await self._index(scope, receive, send)
        else:
            known = ", ".join(f"/{service.name}" for service in self.services)
            problem = Problem(status=404, detail=f"No service is called {name[:60]!r}. There are {known}.")
            await send_problem(scope, receive, send, problem)

    async def _index(self, scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        links = {service.name: service.entry.links(f"{root}/{service.name}") for service in self.services}
        if not wants_html(scope):
            await send_json(scope, send, {"services": links})
            return
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>"
            + " · ".join(f'<a href="{escape(url)}">{escape(text)}</a>' for text, url in found.items())
            + "</td></tr>"
            for name, found in links.items()
        )
        more = f'<p><a href="{escape(root)}/console/">The console of all</a></p>' if len(self.services) > 1 else ""
        headers, body = page("Services of this process", f'{more}<div class="card"><table>{rows}</table></div>')
        await send_response(scope, send, 200, headers, body)


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    await send_problem(scope, receive, send, Problem(status=404, detail="Nothing is here."))


def _below(scope: Scope, root: str) -> Scope:
    child = dict(scope)
    child["root_path"] = root
    return child

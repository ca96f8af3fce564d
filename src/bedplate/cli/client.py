"""A running service as commands see it: requests with a token and a deadline, JSON, and problems as sentences."""

from __future__ import annotations

import http.client
import ipaddress
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from bedplate.problems import BedplateError

__all__ = ["TOKEN_VARIABLES", "Answer", "AnsweredError", "Client", "token_of"]

#: Where commands look for the token that they present, the first that is set.
TOKEN_VARIABLES = ("AUTH_TOKEN", "BEDPLATE_TOKEN")

_LARGEST = 64 * 2**20


def token_of(environ: Mapping[str, str] = os.environ) -> str:
    """Return the token that commands present, empty when there is none.

    It is taken from the environment alone, since everybody on a machine can read the arguments of a command.
    """
    return next((environ[name] for name in TOKEN_VARIABLES if environ.get(name)), "")


class AnsweredError(BedplateError):
    """The service answered, and not with what was asked for.

    :ivar status: of the answer. :ivar problem: its problem details, empty when it sent none.
    """

    def __init__(self, status: int, what: str, mend: str, problem: Mapping[str, Any]) -> None:
        super().__init__(what, mend)
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered.

    :ivar headers: names in lower case; of several of one name, all joined by a comma.
    :ivar seconds: from the request to the end of the body.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    seconds: float

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body's JSON value.

        :raises BedplateError: when it is none.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            kind = self.headers.get("content-type", "no content type")
            raise BedplateError(
                f"{self.url} answers {self.status} with {kind}, which is no JSON.",
                "Give the address of a service that runs on Bedplate.",
            ) from None

    def required(self) -> Answer:
        """Return this answer when its status is a good one.

        :raises AnsweredError: when it is not; it says what the service's problem details say.
        """
        if 200 <= self.status < 300:
            return self
        raise _refused(self)


class Client:
    """Asks a running service.

    Redirects are told of and not followed, so that the token goes to nobody else. A proxy of the environment
    (``HTTPS_PROXY`` …) is used, except for addresses of this machine.

    :param url: where the service is, ``https://host/ledger``; the paths asked for are below it.
    :param token: presented as a bearer token; empty for none.
    :param timeout: seconds that connecting, and each wait for data, may take.
    :raises BedplateError: when the address is none.
    """

    def __init__(self, url: str, *, token: str = "", timeout: float = 10.0) -> None:
        self.url = _base(url)
        self.token = token
        self.timeout = timeout
        handlers: list[urllib.request.BaseHandler] = [_Stay()]
        if _is_local(urllib.parse.urlsplit(self.url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def fetch(
        self,
        path: str,
        *,
        method: str = "GET",
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        authorized: bool = True,
    ) -> Answer:
        """Return the answer, whatever its status is.

        :param query: values that are None are left out. :param authorized: whether to present the token.
        :raises BedplateError: when there is no answer in time.
        """
        url = self.address(path, query)
        sent = {"accept": "application/json, */*;q=0.5", "user-agent": "bedplate", **(headers or {})}
        if authorized and self.token:
            sent.setdefault("authorization", f"Bearer {self.token}")
        body = None
        if json is not None:
            body = orjson.dumps(json)
            sent["content-type"] = "application/json"
        request = urllib.request.Request(url, data=body, headers=sent, method=method)
        started = time.perf_counter()
        try:
            with self._open(request) as response:
                received = b"" if method == "HEAD" else _body(response)
                answer = Answer(url, response.status, _joined(response), received, time.perf_counter() - started)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unreachable(url, error, self.timeout) from error
        if len(received) > _LARGEST:
            raise BedplateError(f"{url} answers with more than {_LARGEST >> 20} MB.", "Ask for less.")
        return answer

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON value that ``path`` answers with.

        :raises BedplateError: when it does not, or not in time.
        """
        return self.fetch(path, query=query).required().json()

    def post(self, path: str, json: Any = None) -> Any:
        """Post a JSON value and return the one that is answered, None for an empty answer.

        :raises BedplateError: when the service refuses, or does not answer in time.
        """
        answer = self.fetch(path, method="POST", json={} if json is None else json).required()
        return answer.json() if answer.body else None

    def delete(self, path: str) -> Any:
        """Delete what is at ``path`` and return the JSON value that is answered, None for an empty answer.

        :raises BedplateError: when the service refuses, or does not answer in time.
        """
        answer = self.fetch(path, method="DELETE").required()
        return answer.json() if answer.body else None

    def address(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        """Return the whole address of a path of the service."""
        url = f"{self.url}/{path.lstrip('/')}"
        pairs = {name: value for name, value in (query or {}).items() if value is not None}
        return f"{url}?{urllib.parse.urlencode(pairs, doseq=True)}" if pairs else url

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            return error  # a response like any other, whose status was not good


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect: the answer is what was asked for, or it is told."""


def _base(url: str) -> str:
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is only read, and refused, when asked for
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise BedplateError(f"{url!r} is no address of a service.", "Write http://host:port or https://host/path.")
    if parts.username is not None:
        raise BedplateError("The address holds a user name or a password.", "Put a token into AUTH_TOKEN instead.")
    return url.split("?")[0].split("#")[0].rstrip("/")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _body(response: Any) -> bytes:
    received: bytes = response.read(_LARGEST + 1)
    # http.client tells of a body that was cut short only when it is asked for all of it, however much that is.
    if response.length and len(received) <= _LARGEST:
        raise http.client.IncompleteRead(received, response.length)
    return received


def _joined(response: Any) -> dict[str, str]:
    result: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        result[key] = f"{result[key]}, {value}" if key in result else value
    return result


def _unreachable(url: str, error: Exception, timeout: float) -> BedplateError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return BedplateError(f"{url} did not answer within {timeout:g} s.", "Look whether it is overloaded or hangs.")
    if isinstance(reason, http.client.IncompleteRead):
        return BedplateError(f"{url} hung up before the end of its answer.", "Look at the service's log.")
    said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return BedplateError(f"{url} cannot be asked: {said}.", "Look whether the service runs there.")


def _refused(answer: Answer) -> AnsweredError:
    status = answer.status
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    problem: dict[str, Any] = document if isinstance(document, dict) else {}
    said = str(problem.get("detail") or problem.get("title") or http.client.responses.get(status, "no reason given"))
    what = f"{answer.url} answers {status}: {said.rstrip('.')}."
    if 300 <= status < 400:
        what = f"{answer.url} answers {status} and points to {answer.headers.get('location', 'nowhere')}."
    # Who says in words what there is not has understood the address.
    known = status == 404 and problem.get("type") == "about:blank" and not said.startswith("Nothing is at")
    return AnsweredError(status, what, "" if known else _mend(status), problem)


def _mend(status: int) -> str:
    if 300 <= status < 400:
        return "Give the address where the service itself is."
    return {
        401: "Put a token into AUTH_TOKEN; `bedplate token` makes one.",
        403: "Use a token whose role may do this.",
        404: "Look at the address, and at the management prefix if it is not /monitoring.",
        429: "Wait a minute.",
        503: "Wait until the service has started, or look at its health.",
    }.get(status, "")

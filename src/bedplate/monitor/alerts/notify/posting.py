"""One HTTP request to somebody who is told something; blocking, for a thread."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import orjson

from bedplate.problems import BedplateError

__all__ = ["PostError", "post"]


class PostError(BedplateError):
    """It did not take what it was told; the message holds no address, which may be a secret."""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect: what we tell is for the one who was named."""


def post(url: str, json: Any = None, *, timeout: float) -> None:
    """Post a JSON value to an address, or ask for the address when there is none; it must be answered with a 2xx.

    :param url: it may hold a user name and a password. :param timeout: seconds for connecting and for each read.
    :raises PostError: when it is not.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    headers = {"User-Agent": "bedplate"}
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
    body = None
    if json is not None:
        body = orjson.dumps(json)
        headers["Content-Type"] = "application/json"
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    handlers: list[urllib.request.BaseHandler] = [_Stay()]
    if _is_local(host):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(bare, data=body, headers=headers)
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as response:
            response.read(4096)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode("utf-8", "replace").strip()
        raise PostError(f"It answers {error.code}{': ' if said else ''}{' '.join(said.split())}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or type(reason).__name__
        raise PostError(f"It cannot be reached: {said}") from None


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

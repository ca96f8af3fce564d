"""Errors that say what to do, and their form over HTTP (RFC 9457 problem details).

Every error that Bedplate raises on purpose is a :class:`BedplateError`: a sentence that says what is wrong,
and a sentence that says how to mend it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson

__all__ = [
    "BedplateError",
    "DeclarationError",
    "Problem",
    "Refusal",
    "RefusedError",
    "UndeclaredMetricError",
    "UnreachableError",
]

PROBLEM_MEDIA_TYPE = "application/problem+json"


class BedplateError(Exception):
    """A fault with its mend.

    :param what: one sentence, what is wrong.
    :param mend: one sentence, what the reader should do about it.
    """

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(f"{what} {mend}".strip())
        self.what = what
        self.mend = mend


class DeclarationError(BedplateError, ValueError):
    """A declaration (metric, probe, alert, spec …) that cannot be right, found when it is constructed."""


class UndeclaredMetricError(BedplateError):
    """A component binds, or an expression uses, a metric that its spec does not declare."""


class UnreachableError(BedplateError):
    """Who was to be asked cannot be reached now; another time may be better, and somebody else may know."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why a service may not start: which component, what is wrong, how to mend it."""

    component: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.component}: {self.what} {self.mend}".rstrip()


class RefusedError(BedplateError):
    """A service that may not start; :attr:`refusals` lists every reason, not only the first."""

    def __init__(self, subject: str, refusals: Sequence[Refusal]) -> None:
        lines = "\n".join(f"  - {refusal}" for refusal in refusals)
        noun = "fault" if len(refusals) == 1 else "faults"
        super().__init__(f"{subject} cannot start: {len(refusals)} {noun}.\n{lines}")
        self.refusals = tuple(refusals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Problem details for an HTTP answer, as in RFC 9457.

    :param status: the HTTP status code, 400 to 599.
    :param title: a short summary that does not change from one occurrence to the next.
    :param detail: what happened here and what the caller can do.
    :param type: a URI that names the problem's kind.
    :param headers: extra response headers, such as ``Retry-After``.
    :param extra: extension members, merged into the document; they may not replace the standard ones.
    """

    status: int
    title: str = ""
    detail: str = ""
    type: str = "about:blank"
    instance: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the JSON object of this problem; empty members are left out."""
        title = self.title or _phrase(self.status)
        standard = {"type": self.type, "title": title, "status": self.status}
        if self.detail:
            standard["detail"] = self.detail
        if self.instance:
            standard["instance"] = self.instance
        return {**self.extra, **standard}

    def body(self) -> bytes:
        """Return the document as JSON bytes."""
        return orjson.dumps(self.document(), default=str)

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the response headers in ASGI form, content type and length included."""
        body_length = str(len(self.body())).encode()
        headers = [(b"content-type", PROBLEM_MEDIA_TYPE.encode()), (b"content-length", body_length)]
        headers.extend(
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()
        )
        return headers


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"

"""What makes two errors the same: their types, the service's own code they passed, and what they say, roughly.

Line numbers do not count, so a fingerprint survives a deployment; nor do numbers, ids and quoted values in messages.
Frames of libraries count only where there are no others: what a library does inside may change with its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

from bedplate.telemetry.redaction import describe
from bedplate.telemetry.stacks import Frame, chain, frames, qualified_name

__all__ = ["Origin", "normalise", "origin_of"]

_MAX_FRAMES = 20
_MAX_LIBRARY_FRAMES = 5
_MAX_MEMBERS = 5
_MAX_MESSAGE = 300

# Each pattern is linear: single classes with bounded or possessive use.
_QUOTED = re.compile(r"""'[^']{0,200}'|"[^"]{0,200}"|`[^`]{0,200}`""")
_HEX = re.compile(r"\b(?:0x)?(?=[0-9a-fA-F-]{0,7}[0-9])[0-9a-fA-F-]{8,64}\b")
_NUMBER = re.compile(r"[0-9]+")
_PATH = re.compile(r"(?:/[\w.@-]{1,100}){2,32}")
_SPACE = re.compile(r"\s+")


class Origin:
    """Where an error comes from.

    :ivar fingerprint: 16 hex digits. :ivar site: the same without the message, for groups with too many messages.
    :ivar frames: of the error itself, outermost first. :ivar culprit: ``module.function`` that it is put down to.
    """

    __slots__ = ("culprit", "fingerprint", "frames", "site", "type")

    def __init__(self, error: BaseException) -> None:
        self.type = qualified_name(type(error))
        self.frames, _ = frames(error.__traceback__)
        at = _deepest(self.frames)
        self.culprit = f"{at.module}.{at.function}" if at is not None else ""
        digest = blake2b(digest_size=8)
        for part in _parts(error):
            digest.update(part.encode("utf-8", "backslashreplace"))
            digest.update(b"\0")
        self.site = digest.hexdigest()
        digest.update(normalise(describe(error)).encode("utf-8", "backslashreplace"))
        self.fingerprint = digest.hexdigest()


def origin_of(error: BaseException) -> Origin:
    """Return where an error comes from."""
    return Origin(error)


def normalise(message: str) -> str:
    """Return the first line of a message without what differs from one occurrence to the next."""
    line = message[: 4 * _MAX_MESSAGE].lstrip().partition("\n")[0][:_MAX_MESSAGE]
    for pattern, by in ((_QUOTED, "''"), (_PATH, "/…"), (_HEX, "#"), (_NUMBER, "#"), (_SPACE, " ")):
        line = pattern.sub(by, line)
    return line.strip()


def _parts(error: BaseException, depth: int = 0) -> Iterator[str]:
    for link, sentence in chain(error):
        yield f"{sentence}{qualified_name(type(link))}"
        yield from _calls(frames(link.__traceback__)[0])
        if isinstance(link, BaseExceptionGroup) and depth < 3:
            # Tasks end in any order, so their errors count as a set.
            members = {"\n".join(_parts(member, depth + 1)) for member in link.exceptions[:_MAX_MEMBERS]}
            yield from sorted(members)


def _calls(stack: list[Frame]) -> Iterator[str]:
    """Yield the functions that matter, each once: a recursion is the same error at any depth."""
    own = [frame for frame in stack if frame.in_app]
    chosen = own or stack[-_MAX_LIBRARY_FRAMES:]
    calls = dict.fromkeys(f"{frame.module}:{frame.function}" for frame in chosen)
    yield from list(calls)[-_MAX_FRAMES:]


def _deepest(stack: list[Frame]) -> Frame | None:
    own = [frame for frame in stack if frame.in_app] or stack
    return own[-1] if own else None

"""The session of one request, read when it is asked for and written when it has changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, overload

import orjson
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from bedplate.problems import BedplateError
from bedplate.state.sessions.errors import SessionConflictError, SessionEndedError, SessionsUnavailableError
from bedplate.state.sessions.names import split_token
from bedplate.state.sessions.record import Entry, SessionInfo, info
from bedplate.telemetry.context import bind_context

if TYPE_CHECKING:
    from bedplate.state.sessions.component import Sessions

__all__ = ["Session"]

T = TypeVar("T")
#: Attempts to put a change on top of those of others.
_ATTEMPTS = 50
_EMPTY = b"{}"
_AGENT = 200
#: What is JSON as it is.
_PLAIN = frozenset({str, int, bool, type(None)})


class Session:
    """What a service knows of whoever asks: ``request.state.session``.

    .. code-block:: python

        session = await request.state.session.load()
        session["currency"] = "EUR"

    It is a mapping of names to JSON: text, numbers, lists, dictionaries; dataclasses, pydantic models, ``Decimal`` and
    ``datetime`` become JSON, and :meth:`get` with a type makes them again. It is saved before the answer begins, if it
    has changed. Of changes that two requests make at once both are kept; where they set the same name, the later one.

    :ivar is_known_only: the store is away, and this is what was known before: it can be read and not be changed.
    """

    # Defaults are the class's: most requests never look at their session, and one is made for each.
    is_known_only = False
    agent = ""
    #: What the cookie says; a secret. None: the cookie is to be removed.
    token: str | None = ""
    _loaded = _replaced = False
    _tag = _field = ""
    _entry: Entry | None = None
    _data: dict[str, Any] | None = None
    _base = _EMPTY

    def __init__(self, sessions: Sessions, token: str = "", agent: str = "") -> None:
        self._sessions = sessions
        self.token = token
        self.agent = agent

    # Reading

    async def load(self) -> Session:
        """Read it, unless that has been done; return itself.

        :raises SessionsUnavailableError: when nobody can tell now whose it is.
        """
        if self._loaded:
            return self
        token = self._given()
        if not token or (parts := split_token(token)) is None:
            self._loaded = True
            return self
        keeper = self._sessions.keeper
        tag, secret = parts
        field = keeper.names.field(secret)
        entry = keeper.at_hand(tag, field)
        if entry is None:
            entry, self.is_known_only = await keeper.find(tag, secret, field)
        self._loaded = True
        if entry is None:
            self.token = None
            return self
        self._tag, self._field, self._entry, self._base = tag, field, entry, entry.data
        if entry.user is not None:
            bind_context(user_id=entry.user)
        return self

    def _given(self) -> str:
        return self.token or ""

    def _name_agent(self) -> None:
        """Find out the browser, when a session begins."""

    def _take(self, tag: str, field: str, entry: Entry | None) -> None:
        self._tag, self._field, self._entry = tag, field, entry
        self._base, self._data = (entry.data if entry is not None else _EMPTY), None

    @property
    def is_loaded(self) -> bool:
        """Whether it has been read."""
        return self._loaded

    @property
    def exists(self) -> bool:
        """Whether there is one; without, it begins when something is put into it."""
        return self._read()._entry is not None

    @property
    def user(self) -> str | None:
        """Who is signed in, None for nobody."""
        entry = self._read()._entry
        return None if entry is None else entry.user

    @property
    def info(self) -> SessionInfo | None:
        """What may be shown of it, None when there is none."""
        entry = self._read()._entry
        return None if entry is None else info(entry, f"{self._tag}.{self._field}", current=True)

    @property
    def id(self) -> str:
        """Its public name, which signs nobody in; empty when there is none."""
        return f"{self._tag}.{self._field}" if self._read()._entry is not None else ""

    def __getitem__(self, name: str) -> Any:
        return self._values()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._values())

    def keys(self) -> list[str]:
        """Return the names of all values; it makes ``dict(session)`` work."""
        return list(self._values())

    @overload
    def get(self, name: str, default: Any = None) -> Any: ...
    @overload
    def get(self, name: str, default: T | None = None, *, type: type[T]) -> T | None: ...
    def get(self, name: str, default: Any = None, *, type: Any = None) -> Any:
        """Return a value, or ``default`` when there is none.

        :param type: what it is to be: a dataclass, a pydantic model, ``Decimal``, ``list[Order]`` …
        :raises pydantic.ValidationError: when it is not of that type.
        """
        values = self._values()
        if name not in values:
            return default
        return values[name] if type is None else TypeAdapter(type).validate_python(values[name])

    # Changing

    def __setitem__(self, name: str, value: Any) -> None:
        self._writable()[name] = value if type(value) in _PLAIN else to_jsonable_python(value)

    def __delitem__(self, name: str) -> None:
        del self._writable()[name]

    def pop(self, name: str, default: Any = None) -> Any:
        """Remove a value and return it."""
        return self._writable().pop(name, default)

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several values."""
        self._writable().update({name: to_jsonable_python(value) for name, value in values.items()})

    def clear(self) -> None:
        """Remove all values; whoever is signed in stays so."""
        self._writable().clear()

    async def sign_in(self, user: str, *, label: str = "") -> None:
        """Let a user in, with a new secret: a cookie that was known before is worth nothing. Values are kept.

        :param label: what the user may see of it in a list: "phone".
        :raises SessionsUnavailableError: when the store is away; nobody is signed in then.
        """
        if not user:
            raise BedplateError("A user needs a name.", "Give sign_in() the user's id.")
        await self.load()
        self._name_agent()
        about = {"user": user}
        if self.agent:
            about["agent"] = self.agent[:_AGENT]
        if label:
            about["label"] = label[:_AGENT]
        old_tag, old_field = (self._tag, self._field) if self._entry is not None else ("", "")
        tag = self._sessions.keeper.names.tag_of(user)
        await self._begin(tag, about, instead_of=old_field if old_tag == tag else "")
        if old_tag and old_tag != tag:
            # When the store goes away just now it waits for it: the user is signed in, which must not fail any more.
            with suppress(SessionsUnavailableError):
                await self._sessions.keeper.revoke(old_tag, (old_field,))
        bind_context(user_id=user)

    async def sign_out(self) -> None:
        """End the session; it need not have been read.

        :raises SessionsUnavailableError: when the store is away. This process serves it no more, and it ends as soon
            as the store is back, if this process still runs.
        """
        tag, field = self._tag, self._field
        if not self._loaded and (parts := split_token(self._given())) is not None:
            tag, field = parts[0], self._sessions.keeper.names.field(parts[1])
        if tag:
            await self._sessions.keeper.revoke(tag, (field,))
        self._loaded = True
        self._forget()

    async def sign_out_everywhere(self, *, but_here: bool = False) -> int:
        """End all sessions of the user; return how many there were.

        :raises SessionsUnavailableError: as :meth:`sign_out`.
        """
        await self.load()
        if self._entry is None:
            return 0
        ended = await self._sessions.keeper.revoke_all(self._tag, self._field if but_here else "")
        if not but_here:
            self._forget()
        return ended

    async def rotate(self) -> None:
        """Give it a new secret: after a password was changed, or before something dangerous. The old one is void at
        once, also for requests that are under way with it.

        :raises SessionsUnavailableError: when the store is away. :raises SessionEndedError: when it has ended.
        """
        await self.load()
        if self._entry is None:
            return
        names = self._sessions.keeper.names
        secret = names.new_secret()
        field = names.field(secret)
        entry = await self._sessions.keeper.rotate(self._tag, self._field, field)
        if entry is None:
            self._forget()
            raise SessionEndedError
        self._field, self._entry = field, entry
        self.token, self._replaced = f"{self._tag}.{secret}", True

    # Saving

    async def save(self) -> None:
        """Write what has changed, now; in a request that is done before its answer begins.

        :raises SessionsUnavailableError: when the store is away. :raises SessionConflictError: when others change it
            all the time. :raises SessionEndedError: when it has ended; what was to be written is gone with it.
        """
        changed = self.changed()
        if changed is not None:
            await self.write(changed)

    async def write(self, changed: bytes) -> None:
        """Write these data, or with them what others have written meanwhile; see :meth:`save`."""
        entry, keeper = self._entry, self._sessions.keeper
        if entry is None:
            self._name_agent()
            about = {"agent": self.agent[:_AGENT]} if self.agent else {}
            await self._begin(keeper.names.new_tag(), about)
            return
        for attempt in range(_ATTEMPTS):
            found, saved = await keeper.save(self._tag, self._field, entry, changed)
            if found is None:
                self._forget()
                raise SessionEndedError
            if saved:
                if attempt:
                    keeper.merged()
                self._take(self._tag, self._field, found)
                return
            entry = found
            changed = self._packed(_merged(orjson.loads(found.data), orjson.loads(self._base), self._data or {}))
        raise SessionConflictError("Other requests keep changing this session.", "Try again.")

    def changed(self) -> bytes | None:
        """Return the data to write, None when they are as they were."""
        if self._data is None:
            return None
        packed = self._packed(self._data)
        return None if packed == self._base else packed

    def _packed(self, data: dict[str, Any]) -> bytes:
        packed = orjson.dumps(data)
        largest = self._sessions.settings.largest
        if len(packed) > largest:
            raise BedplateError(
                f"A session of {len(packed)} bytes is larger than {largest}.", "Keep records in the database."
            )
        return packed

    @property
    def is_to_be_touched(self) -> bool:
        """Whether it was not said lately that it is in use."""
        entry = self._entry
        if entry is None or self.is_known_only:
            return False
        sessions = self._sessions
        return entry.unused(sessions.keeper.monotonic()) >= sessions.settings.touch

    async def touch(self) -> None:
        """Say that it is in use, if that was not said lately."""
        if self.is_to_be_touched:
            await self._sessions.keeper.touch(self._tag, self._field)

    async def _begin(self, tag: str, about: dict[str, str], instead_of: str = "") -> None:
        names = self._sessions.keeper.names
        secret = names.new_secret()
        field = names.field(secret)
        data = self._packed(self._data) if self._data is not None else self._base
        entry = await self._sessions.keeper.begin(tag, field, orjson.dumps(about), data, instead_of)
        self._take(tag, field, entry)
        self.token, self._replaced = f"{tag}.{secret}", True

    def _forget(self) -> None:
        self._take("", "", None)
        self.token = None

    def _read(self) -> Session:
        if not self._loaded:
            raise BedplateError("The session has not been read.", "Write `await session.load()` before you use it.")
        return self

    def _values(self) -> dict[str, Any]:
        if self._data is None:
            self._data = orjson.loads(self._read()._base)
        return self._data

    def _writable(self) -> dict[str, Any]:
        values = self._values()
        if self.is_known_only:
            raise SessionsUnavailableError("Sessions can be read and not be changed now.")
        return values

    def __repr__(self) -> str:
        return f"<Session {'not read' if not self._loaded else 'of ' + repr(self.user)}>"


def _merged(theirs: dict[str, Any], base: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
    """Return their values with what we have changed of the base."""
    kept = {name: value for name, value in theirs.items() if name not in base or name in mine}
    return kept | {name: value for name, value in mine.items() if name not in base or base[name] != value}

"""Random commands on streams and groups."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .command import Command

__all__ = ["STREAMS"]

_KEYS = st.sampled_from(["stream", "stream", "stream", "stream2", "any"])
_NEW = st.sampled_from(["1-1", "1-2", "2-1", "3", "3-*", "4-0", "5-5", "6-*", "7", "8-*", "9-9", "0-0", "x", "1-x"])
_IDS = st.sampled_from(["0", "1-1", "1-2", "2-1", "3-0", "3-1", "4-0", "5-5", "7-0", "9-9", "x"])
_STARTS = st.sampled_from(["-", "0", "1-1", "(1-1", "2", "(2-1", "3-0", "(9-9", "+", "x"])
_ENDS = st.sampled_from(["+", "1", "1-2", "(3-0", "4", "9-9", "(0-0", "-"])
_GROUPS = st.sampled_from(["g", "g", "g", "h"])
_CONSUMERS = st.sampled_from(["c", "d"])
_COUNTS = st.sampled_from([1, 2, 10])


@st.composite
def _add(draw: st.DrawFn) -> Command:
    key, id = draw(_KEYS), draw(_NEW)
    fields: dict[Any, Any] = draw(st.dictionaries(st.sampled_from(["a", b"b"]), st.integers(), min_size=1))
    options: dict[str, Any] = {}
    words: list[Any] = ["XADD", key]
    if draw(st.booleans()):
        options["nomkstream"] = True
        words.append("NOMKSTREAM")
    trim = draw(st.sampled_from(["", "", "maxlen", "minid"]))
    if trim:
        options[trim] = draw(st.sampled_from([0, 1, 3])) if trim == "maxlen" else draw(st.sampled_from(["0", "2-1"]))
        words += [trim.upper(), options[trim]]
    flat = [part for pair in fields.items() for part in pair]
    return Command((*words, id, *flat), lambda space: space.xadd(key, fields, id, **options))


@st.composite
def _trim(draw: st.DrawFn) -> Command:
    key = draw(_KEYS)
    how, value = draw(st.sampled_from([("maxlen", 0), ("maxlen", 2), ("minid", "2"), ("minid", "4-0")]))
    return Command(("XTRIM", key, how.upper(), value), lambda space: space.xtrim(key, **{how: value}))


@st.composite
def _range(draw: st.DrawFn) -> Command:
    key, start, end, count = draw(_KEYS), draw(_STARTS), draw(_ENDS), draw(_COUNTS)
    if draw(st.booleans()):
        return Command(("XRANGE", key, start, end, "COUNT", count), lambda space: space.xrange(key, start, end, count))
    return Command(("XREVRANGE", key, end, start), lambda space: space.xrevrange(key, end, start))


@st.composite
def _read(draw: st.DrawFn) -> Command:
    key, id, count = draw(_KEYS), draw(_IDS), draw(_COUNTS)
    return Command(
        ("XREAD", "COUNT", str(count), "STREAMS", key, id), lambda space: space.xread({key: id}, count), place=4
    )


@st.composite
def _read_group(draw: st.DrawFn) -> Command:
    key, group, consumer, count = draw(_KEYS), draw(_GROUPS), draw(_CONSUMERS), draw(_COUNTS)
    id, noack = draw(st.sampled_from([">", ">", ">", "0", "1-2", "x"])), draw(st.booleans())
    flags = ["NOACK"] if noack else []
    words = ("XREADGROUP", "GROUP", group, consumer, "COUNT", str(count), *flags, "STREAMS", key, id)
    return Command(
        words,
        lambda space: space.xreadgroup(group, consumer, {key: id}, count=count, noack=noack),
        place=len(words) - 2,
    )


@st.composite
def _group(draw: st.DrawFn) -> Command:
    key, group, consumer = draw(_KEYS), draw(_GROUPS), draw(_CONSUMERS)
    id = draw(st.sampled_from(["$", "0", "0", "2-1", "x"]))
    make = draw(st.booleans())
    flags = ("MKSTREAM",) if make else ()
    return draw(
        st.sampled_from(
            [
                Command(
                    ("XGROUP", "CREATE", key, group, id, *flags),
                    lambda space: space.xgroup_create(key, group, id, mkstream=make),
                    place=2,
                ),
                Command(
                    ("XGROUP", "CREATE", key, group, "0", "MKSTREAM"),
                    lambda space: space.xgroup_create(key, group, "0", mkstream=True),
                    place=2,
                ),
                Command(("XGROUP", "SETID", key, group, id), lambda space: space.xgroup_setid(key, group, id), place=2),
                Command(("XGROUP", "DESTROY", key, group), lambda space: space.xgroup_destroy(key, group), place=2),
                Command(
                    ("XGROUP", "CREATECONSUMER", key, group, consumer),
                    lambda space: space.xgroup_createconsumer(key, group, consumer),
                    place=2,
                ),
                Command(
                    ("XGROUP", "DELCONSUMER", key, group, consumer),
                    lambda space: space.xgroup_delconsumer(key, group, consumer),
                    place=2,
                ),
            ]
        )
    )


@st.composite
def _owed(draw: st.DrawFn) -> Command:
    key, group, consumer, start, end = draw(_KEYS), draw(_GROUPS), draw(_CONSUMERS), draw(_STARTS), draw(_ENDS)
    ids, idle = draw(st.lists(_IDS, min_size=1, max_size=3)), draw(st.sampled_from([0, 0, 100_000]))
    mine = draw(st.booleans())
    just = draw(st.booleans())
    flags = ("JUSTID",) if just else ()
    whose = (consumer,) if mine else ()
    return draw(
        st.sampled_from(
            [
                Command(("XACK", key, group, *ids), lambda space: space.xack(key, group, *ids)),
                Command(("XPENDING", key, group), lambda space: space.xpending(key, group)),
                Command(
                    ("XPENDING", key, group, "IDLE", idle, start, end, 5, *whose),
                    lambda space: space.xpending_range(
                        key, group, start, end, 5, consumer=consumer if mine else None, idle=idle
                    ),
                    _without_idle,
                ),
                Command(
                    ("XCLAIM", key, group, consumer, idle, *ids, *flags),
                    lambda space: space.xclaim(key, group, consumer, idle, *ids, justid=just),
                ),
                Command(
                    ("XAUTOCLAIM", key, group, consumer, idle, start, "COUNT", 2, *flags),
                    lambda space: space.xautoclaim(key, group, consumer, idle, start, count=2, justid=just),
                ),
            ]
        )
    )


def _without_idle(reply: Any) -> Any:
    return [[id, who, times] for id, who, _, times in reply] if isinstance(reply, list) else reply


def _named(reply: Any) -> Any:
    """Read what all versions of servers say of groups; from 7.2 on a consumer comes to be by reading nothing, too."""
    if not isinstance(reply, list):
        return reply
    return [{name: group[name] for name in (b"name", b"pending", b"last-delivered-id")} for group in reply]


STREAMS = [
    _add(),
    _add(),
    _trim(),
    _range(),
    _read(),
    _read_group(),
    _read_group(),
    _group(),
    _owed(),
    _owed(),
    st.builds(
        lambda key, ids: Command(("XDEL", key, *ids), lambda space: space.xdel(key, *ids)),
        _KEYS,
        st.lists(_IDS, min_size=1, max_size=3),
    ),
    st.builds(lambda key: Command(("XLEN", key), lambda space: space.xlen(key)), _KEYS),
    st.builds(
        lambda key: Command(("XINFO", "GROUPS", key), lambda space: space.xinfo_groups(key), _named, place=2), _KEYS
    ),
]

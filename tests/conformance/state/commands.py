"""Random commands, for a store in the process and a real server: the same in two forms."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .command import Command
from .stream_commands import STREAMS

__all__ = ["commands"]


# One key a type, and one that may be of any: most commands meet what they are for, some do not.
def _key(kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from([kind, kind, kind, f"{kind}2", "any"])


_FIELDS = st.sampled_from([b"a", b"b", b"c", "d", "é"])
_TEXTS = st.sampled_from([b"", b"x", b"10", b"-3", b" 1", b"01", b"1.5", "é", 7, -2, 2**63 - 1, b"\x00\xff"])
_NUMBERS = st.sampled_from([0, 1, -1, 5, "10", b"-7", 2**63 - 1, -(2**63), b"x", b"1.5"])
_RANKS = st.sampled_from([0, 1, 2, -1, -2, -100, 100])
_SCORES = st.sampled_from([0, 1, 2, 2.5, -1.5, 1e17, 0.1, "3", b"inf", b"-inf", float("inf")])
_BOUNDS = st.sampled_from([b"-inf", b"+inf", 0, 1, b"(1", b"(0", 2.5, b"(2.5", "3", b"(-inf"])
_COUNTS = st.sampled_from([1, 2, 3, 0])
# Ends that are far, so that no time need pass, or over already.
_LIVES = st.sampled_from([100_000, 200_000, -5, 0])


def _some(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=most)


def _simple(word: str, kind: str, *values: st.SearchStrategy[Any], read: Any = None) -> st.SearchStrategy[Command]:
    """Return a command whose arguments are the same in both forms."""

    def made(given: tuple[Any, ...]) -> Command:
        key, *rest = given
        flat = [part for value in rest for part in (value if isinstance(value, list) else [value])]
        name = "delete" if word == "DEL" else word.lower()
        return Command(
            (word, key, *flat), lambda space: getattr(space, name)(key, *flat), read or (lambda reply: reply)
        )

    return st.tuples(_key(kind), *values).map(made)


def _near(reply: Any) -> Any:
    """Read a time to live, of which a moment may have passed."""
    return round(reply / 50_000) if isinstance(reply, int) and reply > 0 else reply


@st.composite
def _set(draw: st.DrawFn) -> Command:
    key, value = draw(_key("string")), draw(_TEXTS)
    words: list[Any] = ["SET", key, value]
    options: dict[str, Any] = {}
    only = draw(st.sampled_from(["", "nx", "xx"]))
    end = draw(st.sampled_from(["", "px", "pxat", "ex", "keepttl"]))
    if only:
        words.append(only.upper())
        options[only] = True
    if draw(st.booleans()):
        words.append("GET")
        options["get"] = True
    if end == "keepttl":
        words.append("KEEPTTL")
        options["keepttl"] = True
    elif end:
        at = draw(st.sampled_from([100_000, 0, -1] if end != "pxat" else [10**13, 1, 0]))
        words += [end.upper(), at]
        options[end] = at
    return Command(tuple(words), lambda space: space.set(key, value, **options))


@st.composite
def _expire(draw: st.DrawFn) -> Command:
    word, key, ms = draw(st.sampled_from(["PEXPIRE", "EXPIRE"])), draw(_key("string")), draw(_LIVES)
    life = ms if word == "PEXPIRE" else ms // 1000
    flag = draw(st.sampled_from(["", "nx", "xx", "gt", "lt"]))
    words = (word, key, life, *([flag.upper()] if flag else []))
    options = {flag: True} if flag else {}
    return Command(words, lambda space: getattr(space, word.lower())(key, life, **options))


@st.composite
def _zadd(draw: st.DrawFn) -> Command:
    key = draw(_key("zset"))
    scores = draw(st.dictionaries(_FIELDS, _SCORES, min_size=1, max_size=3))
    flags = draw(st.lists(st.sampled_from(["nx", "xx", "gt", "lt", "ch"]), unique=True, max_size=2))
    flat = [part for member, score in scores.items() for part in (score, member)]
    words = ("ZADD", key, *(flag.upper() for flag in flags), *flat)
    return Command(words, lambda space: space.zadd(key, scores, **dict.fromkeys(flags, True)))


@st.composite
def _ranges(draw: st.DrawFn) -> Command:
    key, withscores, rev = draw(_key("zset")), draw(st.booleans()), draw(st.booleans())
    scores = ["WITHSCORES"] if withscores else []
    if draw(st.booleans()):
        start, stop = draw(_RANKS), draw(_RANKS)
        words = ("ZRANGE", key, start, stop, *(["REV"] if rev else []), *scores)
        return Command(words, lambda space: space.zrange(key, start, stop, withscores=withscores, rev=rev))
    low, high = draw(_BOUNDS), draw(_BOUNDS)
    first, count = draw(st.sampled_from([(0, None), (0, 2), (1, 1), (1, -1)]))
    limit = [] if count is None else ["LIMIT", first, count]
    name, ends = ("ZREVRANGEBYSCORE", (high, low)) if rev else ("ZRANGEBYSCORE", (low, high))
    return Command(
        (name, key, *ends, *scores, *limit),
        lambda space: space.zrangebyscore(key, low, high, start=first, count=count, withscores=withscores, rev=rev),
    )


@st.composite
def _pairs(draw: st.DrawFn) -> Command:
    key = draw(_key("hash"))
    flat = [part for pair in draw(_some(st.tuples(_FIELDS, _TEXTS))) for part in pair]
    return Command(("HSET", key, *flat), lambda space: space.hset(key, *flat))


def _members(reply: Any) -> Any:
    return sorted(reply) if isinstance(reply, list | set) else reply


def _scan_key(word: str) -> st.SearchStrategy[Command]:
    return st.sampled_from(["s*", "[g-i]*", "*2", "?ash", "h[^b]sh", "any", "[", "h[a-", "\\any", "x", "*[!-~]"]).map(
        lambda pattern: Command(
            (word, "0", "MATCH", pattern, "COUNT", 100),
            lambda space: space.scan("0", pattern, 100),
            lambda reply: sorted(reply[1]),
        )
    )


_STRINGS = [
    _set(),
    _expire(),
    _simple("GET", "string"),
    _simple("STRLEN", "string"),
    _simple("GETDEL", "string"),
    _simple("APPEND", "string", _TEXTS),
    _simple("SETNX", "string", _TEXTS),
    _simple("INCRBY", "string", _NUMBERS),
    _simple("INCR", "string"),
    _simple("DECR", "string"),
    _simple("MGET", "string", _some(_key("string"))),
    _simple("DEL", "string", _some(_key("hash"))),
    _simple("EXISTS", "string", _some(_key("string"))),
    _simple("PERSIST", "string"),
    _simple("PTTL", "string", read=_near),
    _simple("TTL", "string", read=lambda reply: round(reply / 50) if reply > 0 else reply),
    _simple("TYPE", "any"),
    _scan_key("SCAN"),
]
_HASHES = [
    _pairs(),
    _simple("HGET", "hash", _FIELDS),
    _simple("HSETNX", "hash", _FIELDS, _TEXTS),
    _simple("HMGET", "hash", _some(_FIELDS)),
    _simple("HDEL", "hash", _some(_FIELDS)),
    _simple("HGETALL", "hash"),
    _simple("HKEYS", "hash", read=_members),
    _simple("HVALS", "hash", read=_members),
    _simple("HLEN", "hash"),
    _simple("HEXISTS", "hash", _FIELDS),
    _simple("HINCRBY", "hash", _FIELDS, _NUMBERS),
    _simple("PEXPIRE", "hash", _LIVES),
]
_SETS = [
    _simple("SADD", "set", _some(_TEXTS)),
    _simple("SREM", "set", _some(_TEXTS)),
    _simple("SMEMBERS", "set", read=_members),
    _simple("SCARD", "set"),
    _simple("SISMEMBER", "set", _TEXTS),
    _simple("SMISMEMBER", "set", _some(_TEXTS)),
    _simple("DEL", "set"),
]
_SORTED = [
    _zadd(),
    _ranges(),
    _simple("ZREM", "zset", _some(_FIELDS)),
    _simple("ZSCORE", "zset", _FIELDS),
    _simple("ZMSCORE", "zset", _some(_FIELDS)),
    _simple("ZCARD", "zset"),
    _simple("ZCOUNT", "zset", _BOUNDS, _BOUNDS),
    _simple("ZRANK", "zset", _FIELDS),
    _simple("ZREVRANK", "zset", _FIELDS),
    _simple("ZINCRBY", "zset", _SCORES, _FIELDS),
    _simple("ZREMRANGEBYSCORE", "zset", _BOUNDS, _BOUNDS),
    _simple("ZREMRANGEBYRANK", "zset", _RANKS, _RANKS),
    _simple("ZPOPMIN", "zset"),
    _simple("ZPOPMIN", "zset", _COUNTS),
    _simple("ZPOPMAX", "zset"),
    _simple("ZPOPMAX", "zset", _COUNTS),
]
_LISTS = [
    _simple("LPUSH", "list", _some(_TEXTS)),
    _simple("RPUSH", "list", _some(_TEXTS)),
    _simple("LPOP", "list"),
    _simple("RPOP", "list"),
    _simple("LPOP", "list", _COUNTS),
    _simple("RPOP", "list", _COUNTS),
    _simple("LRANGE", "list", _RANKS, _RANKS),
    _simple("LINDEX", "list", _RANKS),
    _simple("LREM", "list", _RANKS, _TEXTS),
    _simple("LTRIM", "list", _RANKS, _RANKS),
    _simple("LLEN", "list"),
]


def commands() -> st.SearchStrategy[list[Command]]:
    """Return sequences of commands, each of mostly one type, now and then of all."""
    groups = [_STRINGS, _HASHES, _SETS, _SORTED, _LISTS, STREAMS]
    one = [st.lists(st.one_of(*group, *_STRINGS[:2]), min_size=1, max_size=25) for group in groups]
    every = st.lists(st.one_of(*(command for group in groups for command in group)), min_size=1, max_size=25)
    return st.one_of(*one, every)

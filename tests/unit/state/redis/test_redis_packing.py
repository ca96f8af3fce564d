"""Operations as bytes are what hiredis would say, however they are put together."""

from __future__ import annotations

from typing import Any

import pytest
from hiredis import pack_command

from bedplate.state.redis.packing import packer
from bedplate.state.store import Operation

SCRIPT = Operation(name="script", script="return 1", memory=lambda space, keys, args: 1)


def said(words: Any) -> bytes:
    return bytes(pack_command(words))


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("args", [(), ("one",), ("é\r\n",), (b"\x00\xff",), (7,), ("a", "b"), (1.5, "x", b"y")])
@pytest.mark.parametrize("count", range(6))
def test_a_script_is_called_with_its_keys_and_arguments(count: int, args: tuple[Any, ...], kind: type) -> None:
    pack = packer(SCRIPT)
    for service in ("a", "b", "a", "ü"):  # keys that are known already, and others
        keys = kind(f"{service}:{{{number}}}" for number in range(count))
        expected = said(("EVALSHA", SCRIPT.sha, len(keys), *keys, *args))
        assert pack(keys, args) == expected


def test_so_many_keys_that_some_are_forgotten() -> None:
    pack = packer(SCRIPT)
    for number in [*range(5000), 0, 4999]:
        keys = (f"{number}", f"{number}:a", f"{number}:b")
        assert pack(keys, ("t",)) == said(("EVALSHA", SCRIPT.sha, 3, *keys, "t"))

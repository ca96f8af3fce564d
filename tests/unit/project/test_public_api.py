"""The public names and their signatures change only on purpose: ``make api`` accepts a change."""

from __future__ import annotations

import enum
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, Protocol, get_origin

import pytest

from tools.public_api import SNAPSHOT, describe, modules, render


def test_public_names_and_signatures_are_those_of_the_snapshot() -> None:
    assert render().splitlines() == SNAPSHOT.read_text(encoding="utf-8").splitlines(), (
        "The public interface changed. If that is meant: `make api`, and a line in CHANGELOG.md."
    )


@pytest.mark.parametrize("name", modules())
def test_everything_public_is_documented_where_it_is_defined(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    undocumented = [
        public
        for public in getattr(module, "__all__", ())
        if callable(value := getattr(module, public)) and get_origin(value) is None and not value.__doc__
    ]
    assert undocumented == []


class Colour(enum.Enum):
    RED = "red"


class Speaks(Protocol):
    def say(self, words: str) -> None: ...


@dataclass(frozen=True)
class Point:
    x: float
    unit: str = "m"

    @property
    def size(self) -> float:
        return abs(self.x)

    @classmethod
    def origin(cls) -> Point:
        return cls(0.0)

    @staticmethod
    def helper(*, flag: bool = False) -> None: ...

    async def move(self, by: float) -> None: ...

    def _private(self) -> None: ...


async def fetch(url: str, /, timeout: float | None = None) -> bytes:
    return b""


def default_object(marker: object = object()) -> Iterator[int]:
    yield 1


def sample(**names: object) -> ModuleType:
    module = ModuleType("sample")
    vars(module).update(names, __all__=list(names))
    return module


def test_each_kind_of_name_reads_as_its_author_wrote_it() -> None:
    module = sample(Point=Point, Colour=Colour, Speaks=Speaks, fetch=fetch, Role=Literal["web", "ops"], LIMIT=3)
    assert list(describe(module)) == [
        "sample.Colour: enum",
        "    RED = 'red'",
        "sample.LIMIT: int",
        "sample.Point: dataclass(x: float, unit: str = 'm') -> None",
        "    helper: static def (*, flag: bool = False) -> None",
        "    move: async def (self, by: float) -> None",
        "    origin: class def () -> Point",
        "    size: property -> float",
        "sample.Role: type typing.Literal['web', 'ops']",
        "sample.Speaks: protocol",
        "    say: def (self, words: str) -> None",
        "sample.fetch: async def (url: str, /, timeout: float | None = None) -> bytes",
    ]


def test_addresses_in_memory_do_not_enter_the_snapshot() -> None:
    (line,) = describe(sample(default_object=default_object))
    assert line == "sample.default_object: def (marker: object = <object>) -> Iterator[int]"


def test_a_public_name_that_is_not_there_is_an_error() -> None:
    module = sample()
    module.__all__ = ["gone"]
    with pytest.raises(AttributeError, match="gone"):
        list(describe(module))

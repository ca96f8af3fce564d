"""What a setting is for is said by the string below it, and read when somebody asks."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from bedplate.settings import Section, Settings, describe


class Inner(BaseModel):
    size: int = Field(3, description="How many\n   there are.")
    plain: int = 1


class Base(Section):
    """Not what a field is for."""

    ttl: Annotated[float, Field(gt=0)] = 300.0
    """How long
    an entry lives."""
    nothing: int = 0
    inner: Inner = Inner()
    """What is in it."""

    def method(self) -> str:
        """Not what a field is for, either."""
        return ""


class Derived(Base):
    ttl: float = 60.0
    """How long it lives here."""
    more: int = 0
    """What is added."""


def docs(model: type[BaseModel]) -> dict[str, str]:
    return {one.name: one.doc for one in describe(model)}  # type: ignore[arg-type]


def test_strings_below_fields_and_descriptions_are_found_in_one_line() -> None:
    assert docs(Base) == {
        "ttl": "How long an entry lives.",
        "nothing": "",
        "inner.size": "How many there are.",
        "inner.plain": "",
    }


def test_a_class_says_its_own_and_inherits_the_rest() -> None:
    assert docs(Derived)["ttl"] == "How long it lives here."
    assert docs(Derived)["more"] == "What is added."
    assert "ttl" in docs(Derived)


def test_the_schema_of_a_form_says_it_too() -> None:
    properties = Derived.model_json_schema()["properties"]
    assert properties["ttl"]["description"] == "How long it lives here."
    assert properties["inner"]["description"] == "What is in it."
    assert "description" not in properties["nothing"]


@pytest.mark.parametrize("base", ["Section", "Settings"])
def test_a_class_without_a_source_has_no_docs(base: str) -> None:
    names = {"Section": Section, "Settings": Settings, "__name__": "nowhere"}
    exec(f"class Made({base}):\n    size: int = 0\n    '''How many.'''\n", names)
    made = names["Made"]
    assert isinstance(made, type) and issubclass(made, BaseModel)
    assert docs(made)["size"] == ""

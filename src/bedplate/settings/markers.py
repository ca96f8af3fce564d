"""What an annotation can say about a setting; everything else about it is plain pydantic.

.. code-block:: python

    class CacheSettings(Section):
        ttl: Annotated[Seconds, Reloadable()] = 300.0
        \"\"\"How long an entry lives.\"\"\"
        url: Annotated[Dsn | None, Env("REDIS_URL")] = None
        memory_only: Annotated[bool, RefuseIf(True, "keeps every worker its own cache", rule="memory-backend")] = False
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bedplate.declarations import seconds
from bedplate.settings.attribute_docs import schema_of

__all__ = ["Env", "Issued", "RefuseIf", "Reloadable", "RequiredInProduction", "Seconds", "Section"]


@dataclass(frozen=True, slots=True, init=False)
class Env:
    """Standard names, without Bedplate's prefix, under which a setting is also found, the strongest first."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class Reloadable:
    """The setting may change while the service runs; any other waits for a restart."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A secret that somebody else issued, so that its length is not ours to judge."""


@dataclass(frozen=True, slots=True)
class RefuseIf:
    """A value that production refuses and staging warns of.

    :param unsafe: the value, or a function that says whether a value is unsafe.
    :param because: ends the sentence "<NAME> is <value>, which …".
    :param mend: what to do; by default, to set another value.
    :param rule: the name by which ``BEDPLATE_ALLOW`` accepts it.
    """

    unsafe: Any
    because: str
    mend: str = ""
    rule: str = "unsafe-value"

    def applies(self, value: object) -> bool:
        """Say whether the value is unsafe."""
        if callable(self.unsafe):
            return bool(self.unsafe(value))
        return type(value) is type(self.unsafe) and value == self.unsafe


@dataclass(frozen=True, slots=True)
class RequiredInProduction:
    """A setting that may be empty elsewhere; ``because`` says what is open or lost without it."""

    because: str


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return seconds(value)


#: A time span in seconds; as text also in Prometheus' notation, ``90s``, ``5m``, ``1h30m``.
Seconds = Annotated[float, BeforeValidator(_seconds)]


class Section(BaseModel):
    """The settings of one component: frozen, every field documented by the string below it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe fields in the schema of actions' forms and of what else is shown."""
        return schema_of(cls, core, handler)

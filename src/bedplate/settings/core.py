"""The settings of a service: what it reads, in which order, and what it refuses. See :class:`Settings`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, PrivateAttr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from bedplate.component import Environment
from bedplate.problems import DeclarationError, Refusal
from bedplate.settings.faults import SettingsError, Unknown
from bedplate.settings.fields import SettingPath, declared
from bedplate.settings.layers import Sources
from bedplate.settings.reading import Reading
from bedplate.settings.rules import RULES, Rule, Setting, apply, secrets_in
from bedplate.settings.standard import StandardSettings

__all__ = ["Settings", "masked"]

M = TypeVar("M", bound=BaseModel)


class ReadingSource(PydanticBaseSettingsSource):
    """All of Bedplate's sources as one source of pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], raw: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._raw = raw

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one field's value; the third part says that it needs no more decoding."""
        return self._raw.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return all values found."""
        return self._raw


class Settings(StandardSettings):
    """The settings of a service, frozen: a snapshot of all sources at one moment.

    A service adds fields of its own in a subclass, with a prefix of its own if it likes::

        class LedgerSettings(Settings, env_prefix="LEDGER_"):
            page_size: Annotated[int, Field(ge=1, le=1000), Reloadable()] = 100
            \"\"\"Rows on a page of a report.\"\"\"

    A value is looked for in this order: the constructor; the environment; secret files (``NAME_FILE=/path``, then a
    file of the variable's name in ``/run/secrets``); ``.env``, in development only; ``bedplate.toml``, where a table
    of the environment's name wins; the default. A field is read from its prefix and its name in capitals, and from
    standard names given by :class:`Env`; ``a.b`` is ``BEDPLATE_A__B`` in a component's section, and the class's prefix
    and ``A__B`` in a model that is a field of the class. An empty variable is not set.

    ``BEDPLATE_ENV`` (or ``ENVIRONMENT``) says where it runs. ``ENV`` is left alone: shells use it.

    :raises SettingsError: with every fault of every source.
    """

    #: What production refuses and staging warns of.
    rules: ClassVar[Sequence[Rule]] = RULES

    _reading: Reading = PrivateAttr()

    def __init__(self, /, _sources: Sources | None = None, **values: Any) -> None:
        reading = Reading(_sources or Sources(), values)
        reading.read(type(self), (), lambda raw: self._initialised(raw))
        self._adopt(reading)

    def _initialised(self, raw: dict[str, Any]) -> Self:
        source = ReadingSource(type(self), raw)
        sources = self.settings_customise_sources(type(self), source, source, source, source)
        super().__init__(_build_sources=(sources, {}))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the strongest first; a subclass may add any of pydantic-settings around ours.

        All four arguments are one source that reads everything the class describes. What is added here serves the
        fields of the class, not sections.
        """
        return (env_settings,)

    @classmethod
    def _read(cls, reading: Reading) -> Self:
        """Return the settings of a reading that may be lenient."""
        settings = reading.read(cls, (), lambda raw: cls.__new__(cls)._initialised(raw))
        settings._adopt(reading)
        return settings

    def _adopt(self, reading: Reading) -> None:
        self._reading = reading
        _hide(reading, (setting.value for setting in self.values()))

    @classmethod
    @contextmanager
    def collecting(cls, _sources: Sources | None = None, **values: Any) -> Iterator[Self]:
        """Build a service with settings whose faults are all reported together, at the end of the block::

            with LedgerSettings.collecting() as settings:
                service = build(settings)

        Inside, a wrong value stands at its default (a missing one at None), so that every section is asked for.

        :raises SettingsError: with every fault and refusal, also when the block itself failed because of one.
        """
        reading = Reading(_sources or Sources(), values, lenient=True)
        settings = cls._read(reading)
        try:
            yield settings
        except Exception:
            if reading.faults:
                raise SettingsError(reading.faults) from None  # what failed, failed on a stand-in
            raise
        reading.lenient = False
        settings.verify()

    def section(self, model: type[M], name: str) -> M:
        """Return the settings of a component, read from ``BEDPLATE_<NAME>__<FIELD>`` and the table ``[name]``.

        :param model: a frozen pydantic model; :class:`Section` is made for it.
        :param name: one or more words with dots between, ``cache.reports``.
        :raises SettingsError: with every fault of the section, except inside :meth:`collecting`.
        :raises DeclarationError: when the name is taken by another model or by a field.
        """
        path = tuple(name.split("."))
        if not all(part.isidentifier() and part == part.lower() for part in path):
            raise DeclarationError(f"Section name {name!r} is no name.", "Use lower-case words with dots between.")
        if path[0] in type(self).model_fields:
            return self._own_section(model, path)
        known = self._reading.sections.get(path)
        if known is not None and known[0] is not model:
            raise DeclarationError(
                f"Section {name} is {known[0].__name__} and cannot be {model.__name__}.",
                "Give one of them another name.",
            )
        if known is not None:
            assert isinstance(known[1], model)
            return known[1]
        value = self._reading.read(model, path, model.model_validate)
        self._reading.sections[path] = (model, value)
        # Of this section alone: a service asks for two dozen, and each start would look at all of all of them.
        _hide(self._reading, (_at(value, one.path[len(path) :]) for one in declared(model, path)))
        return value

    def _own_section(self, model: type[M], path: SettingPath) -> M:
        value = _at(self, path)
        if not isinstance(value, model):
            raise DeclarationError(
                f"Section {'.'.join(path)} is a field of {type(self).__name__}, and no {model.__name__}.",
                "Give the section another name.",
            )
        return value

    def values(self) -> list[Setting]:
        """Return every setting, those of sections asked for included, with its value and where that comes from."""
        sections = {path: value for path, (_, value) in self._reading.sections.items()}
        result = []
        for path, setting in self._reading.known.items():
            base: SettingPath = next((path[:n] for n in range(len(path) - 1, 0, -1) if path[:n] in sections), ())
            value = _at(sections[base] if base else self, path[len(base) :])
            result.append(Setting(setting, value, self._reading.found.get(path)))
        return result

    def origin(self, name: str) -> str:
        """Return where a setting comes from, such as ``environment LOG_LEVEL``, or ``default``."""
        found = self._reading.found.get(tuple(name.split(".")))
        return "default" if found is None else found.origin

    def refusals(self, environment: Environment | None = None) -> list[Refusal]:
        """Return why the service may not start in an environment, its own by default; only production refuses.

        Ask for ``"production"`` to see on a laptop what would be refused there.
        """
        if (environment or self.environment) != "production":
            return []
        return [
            replace(refusal, mend=f"{refusal.mend} To accept it, add {rule} to BEDPLATE_ALLOW.")
            for rule, refusal in apply([rule for rule in self.rules if not rule.warns], self.values())
            if rule not in self.allow
        ]

    def warnings(self) -> list[Refusal]:
        """Return what production would refuse of staging, what was allowed by name, and what is only warned of."""
        if self.environment not in ("staging", "production"):
            return []
        mild = {rule.name for rule in self.rules if rule.warns}
        return [
            refusal
            for rule, refusal in apply(self.rules, self.values())
            if (rule not in self.allow if rule in mild else self.environment == "staging" or rule in self.allow)
        ]

    def unknown(self) -> list[Unknown]:
        """Return names that look like settings and are none; complete once every section was asked for."""
        return list(self._reading.unknown())

    def verify(self) -> None:
        """Raise when anything is at fault or refused here.

        :raises SettingsError: with all of it.
        """
        reasons = [*self._reading.faults, *self.refusals()]
        if reasons:
            raise SettingsError(reasons)

    def on_secret(self, hook: Callable[[str], None]) -> None:
        """Call ``hook`` with every secret text, known and to come; a log redactor wants them.

        It may be called from another thread.
        """
        self._reading.hooks.append(hook)
        for text in sorted(self._reading.hidden):
            hook(text)

    def hide(self, text: str) -> None:
        """Tell the hooks of a secret that did not come from here, such as a rotated one."""
        self._reading.hide(text)

    def files(self) -> set[Path]:
        """Return every file and directory that these settings depend on, whether it exists or not."""
        return self._reading.files()

    def reread(self) -> Self:
        """Return new settings with the same sections, from the same sources as they are now.

        :raises SettingsError: with every fault, and every refusal that these settings do not have.
        """
        return self._again(self._reading.again())

    def pinned(self, values: Mapping[str, Any]) -> Self:
        """Return these settings with other values, nested as sections are, validated; nothing is read again.

        :raises SettingsError: with every fault.
        """
        return self._again(self._reading.pinned(values))

    def _again(self, reading: Reading) -> Self:
        settings = self._read(reading)
        for path, (model, _) in self._reading.sections.items():
            settings.section(model, ".".join(path))
        reading.lenient = False
        accepted = self.refusals()
        reasons = [*reading.faults, *(refusal for refusal in settings.refusals() if refusal not in accepted)]
        if reasons:
            raise SettingsError(reasons)
        return settings

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # sections make it more than its fields


def masked(settings: Settings) -> dict[str, Any]:
    """Return all settings nested as the sections are, as text that people may see: secrets and passwords masked."""
    result: dict[str, Any] = {}
    for setting in settings.values():
        node = result
        for key in setting.declared.path[:-1]:
            node = node.setdefault(key, {})
        node[setting.declared.path[-1]] = setting.shown
    return result


def _at(start: object, path: SettingPath) -> Any:
    """Return what a path of attributes leads to; None where it leads nowhere."""
    for key in path:
        start = getattr(start, key, None)
    return start


def _hide(reading: Reading, values: Iterable[object]) -> None:
    for value in values:
        for secret in secrets_in(value):
            for text in secret.hidden():
                reading.hide(text)

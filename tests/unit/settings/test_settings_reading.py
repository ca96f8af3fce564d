"""Where values come from, which place wins, and what a model may look like."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from bedplate.problems import DeclarationError
from bedplate.settings import Dsn, Env, Reloadable, Seconds, Secret, Section, Settings, SettingsError, Sources


class Mode(Enum):
    FAST = "fast"
    SAFE = "safe"


class Retry(BaseModel, frozen=True):
    times: int = 3
    wait: Seconds = 1.0


class CacheSettings(Section):
    ttl: Annotated[Seconds, Reloadable()] = 300.0
    """How long an entry lives."""
    url: Annotated[Dsn | None, Env("REDIS_URL")] = None
    retry: Retry = Retry(times=5)
    tags: tuple[str, ...] = ()


class LedgerSettings(Settings, env_prefix="LEDGER_"):
    page_size: Annotated[int, Field(ge=1, le=1000), Reloadable()] = 100
    """Rows on a page."""
    fee: Decimal = Decimal("0.25")
    mode: Mode = Mode.SAFE
    partners: list[str] = Field(default=[])
    weights: dict[str, float] = Field(default={})
    cache: CacheSettings = CacheSettings(ttl=60.0)


class Machine:
    """A directory and an environment to read settings from."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.secrets = directory / "secrets"
        self.secrets.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def sources(self, environ: Mapping[str, str]) -> Sources:
        return Sources(environ=environ, directory=self.directory, secrets=self.secrets)

    def settings(self, **environ: str) -> LedgerSettings:
        return LedgerSettings(self.sources(environ))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_defaults_are_used_where_nothing_is_said(machine: Machine) -> None:
    settings = machine.settings()
    assert (settings.environment, settings.port, settings.page_size) == ("development", 8000, 100)
    assert settings.origin("port") == "default"


def test_standard_names_are_honoured_without_a_prefix(machine: Machine) -> None:
    settings = machine.settings(
        REDIS_URL="redis://cache/0",
        REDIS_PRIVATE_URL="redis://10.0.0.1/0",
        REDIS_MAX_CONNECTIONS="7",
        REDIS_TIMEOUT="250ms",
        DATABASE_URL="postgresql+asyncpg://u:p@db/ledger",
        SENTRY_DSN="https://key@sentry.example/1",
        LOG_LEVEL="warning",
        LOG_FILE="/var/log/app.log",
        PORT="9000",
        WEB_CONCURRENCY="4",
        PROMETHEUS_URL="http://prometheus:9090",
        OTEL_SERVICE_NAME="ledger",
        OTEL_TRACES_SAMPLER="always_on",
        OTEL_RESOURCE_ATTRIBUTES="team=books,region=eu%20west",
        ENVIRONMENT="test",
    )
    assert settings.redis_address is settings.redis_private_url
    assert (settings.redis_max_connections, settings.redis_timeout) == (7, 0.25)
    assert settings.database_url is not None
    assert (settings.database_url.scheme, settings.database_url.password) == ("postgresql+asyncpg", "p")
    assert (settings.log_level, settings.log_file) == ("WARNING", Path("/var/log/app.log"))
    assert (settings.port, settings.workers, settings.environment) == (9000, 4, "test")
    assert settings.otel_resource_attributes == {"team": "books", "region": "eu west"}
    assert settings.origin("port") == "environment PORT"


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis+sentinel://:password@a:26379,b:26379,c/state/0",
        "rediss+cluster://user:password@a:7000,b:7000",
        "unix:///run/redis/redis.sock",
    ],
)
def test_the_redis_may_be_behind_sentinels_a_cluster_or_in_the_process(machine: Machine, url: str) -> None:
    settings = machine.settings(REDIS_URL=url)
    assert settings.redis_address is not None
    assert settings.redis_address.reveal() == url
    assert "password" not in str(settings.redis_address)


def test_another_scheme_is_no_redis(machine: Machine) -> None:
    with pytest.raises(SettingsError, match=r"memcached"):
        machine.settings(REDIS_URL="memcached://a").check()


def test_the_prefixed_name_wins_over_the_standard_one(machine: Machine) -> None:
    assert machine.settings(PORT="1", BEDPLATE_PORT="2").port == 2


def test_an_empty_variable_is_not_set(machine: Machine) -> None:
    machine.write("bedplate.toml", "port = 3")
    assert machine.settings(PORT="").port == 3


@pytest.mark.parametrize("strongest", ["constructor", "environment", "secret", ".env", "environment table", "table"])
def test_the_order_of_places(machine: Machine, strongest: str) -> None:
    """Each place holds another port; those stronger than the expected winner are left out."""
    places = ["constructor", "environment", "secret", ".env", "environment table", "table"]
    held = places[places.index(strongest) :]
    if "secret" in held:
        (machine.secrets / "port").write_text("3\n")
    if ".env" in held:
        machine.write(".env", "PORT=4")
    table = "port = 6\n" if "table" in held else ""
    machine.write("bedplate.toml", table + ("[development]\nport = 5" if "environment table" in held else ""))
    sources = machine.sources({"PORT": "2"} if "environment" in held else {})
    settings = LedgerSettings(sources, port=1) if "constructor" in held else LedgerSettings(sources)
    assert settings.port == places.index(strongest) + 1


def test_dotenv_is_read_in_development_only_and_verbatim(machine: Machine) -> None:
    machine.write(".env", "export LEDGER_PAGE_SIZE='7'\nREDIS_URL=redis://:a${HOME}b@h/0\n")
    settings = machine.settings()
    assert settings.page_size == 7
    assert settings.redis_url is not None
    assert settings.redis_url.reveal() == "redis://:a${HOME}b@h/0"
    assert machine.settings(BEDPLATE_ENV="test").page_size == 100


def test_dotenv_cannot_say_which_environment_it_is(machine: Machine) -> None:
    machine.write(".env", "BEDPLATE_ENV=production")
    with pytest.raises(SettingsError, match=r"BEDPLATE_ENV: is set in \.env"):
        machine.settings()


def test_a_variable_may_point_to_a_file(machine: Machine) -> None:
    path = machine.write("url", "redis://:from-file@h/0\r\n")
    settings = machine.settings(REDIS_URL_FILE=str(path))
    assert settings.redis_url == Dsn("redis://:from-file@h/0")
    assert path in settings.files()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 70_000, "larger"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_a_fault(machine: Machine, content: bytes | None, reason: str) -> None:
    path = machine.directory / "url"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=reason) as caught:
        machine.settings(REDIS_URL_FILE=str(path))
    assert caught.value.refusals[0].component == "REDIS_URL_FILE"


def test_a_value_and_its_file_contradict_each_other(machine: Machine) -> None:
    path = machine.write("url", "redis://h/0")
    with pytest.raises(SettingsError, match="REDIS_URL: is set, and so is REDIS_URL_FILE"):
        machine.settings(REDIS_URL="redis://h/1", REDIS_URL_FILE=str(path))


def test_kubernetes_mounts_secrets_as_links_in_a_directory(machine: Machine) -> None:
    hidden = machine.secrets / "..2026_01_01"
    hidden.mkdir()
    (hidden / "DATABASE_URL").write_text("postgresql://u:p@db/x")
    (machine.secrets / "..data").symlink_to(hidden.name)
    (machine.secrets / "DATABASE_URL").symlink_to("..data/DATABASE_URL")
    settings = machine.settings()
    assert settings.database_url == Dsn("postgresql://u:p@db/x")
    assert settings.unknown() == []


def test_sequences_and_mappings_are_written_plainly_or_as_json(machine: Machine) -> None:
    plain = machine.settings(LEDGER_PARTNERS="a, b,,c", LEDGER_WEIGHTS="x=1,y=2.5")
    as_json = machine.settings(LEDGER_PARTNERS='["a","b","c"]', LEDGER_WEIGHTS='{"x": 1, "y": 2.5}')
    assert plain.partners == as_json.partners == ["a", "b", "c"]
    assert plain.weights == as_json.weights == {"x": 1.0, "y": 2.5}


def test_scalars_of_many_types(machine: Machine) -> None:
    settings = machine.settings(LEDGER_FEE="0.10", LEDGER_MODE="fast", OTEL_SDK_DISABLED="on")
    assert (settings.fee, settings.mode, settings.otel_sdk_disabled) == (Decimal("0.10"), Mode.FAST, True)


def test_fields_of_a_subclass_have_its_prefix_and_table(machine: Machine) -> None:
    machine.write("bedplate.toml", "port = 1\n[ledger]\npage_size = 5")
    settings = machine.settings(BEDPLATE_PAGE_SIZE="9")
    assert (settings.port, settings.page_size) == (1, 5)


def test_inheriting_and_redefining_keeps_the_name(machine: Machine) -> None:
    class Special(LedgerSettings, env_prefix="SPECIAL_"):
        page_size: int = 50
        extra: int = 1

    settings = Special(machine.sources({"LEDGER_PAGE_SIZE": "8", "SPECIAL_EXTRA": "2", "SPECIAL_PORT": "3"}))
    assert (settings.page_size, settings.extra, settings.port) == (8, 2, 8000)


def test_a_nested_model_keeps_its_own_defaults_beside_what_is_set(machine: Machine) -> None:
    settings = machine.settings(LEDGER_CACHE__RETRY__WAIT="2m")
    assert settings.cache == CacheSettings(ttl=60.0, tags=(), retry=Retry(times=3, wait=120.0))
    assert machine.settings().cache.retry.times == 5


def test_a_nested_model_is_read_under_the_prefix_of_the_class_that_holds_it(machine: Machine) -> None:
    machine.write("bedplate.toml", "[ledger.cache]\nttl = 5")
    settings = machine.settings(LEDGER_CACHE__TAGS="x", BEDPLATE_CACHE__TAGS="y", LEDGER_CACHE__TAG="z")
    assert (settings.cache.ttl, settings.cache.tags) == (5.0, ("x",))
    assert [(one.name, one.suggestion) for one in settings.unknown()] == [
        ("BEDPLATE_CACHE__TAGS", "LEDGER_CACHE__TAGS"),
        ("LEDGER_CACHE__TAG", "LEDGER_CACHE__TAGS"),
    ]


class TestSections:
    def test_a_section_reads_variables_tables_and_defaults(self, machine: Machine) -> None:
        machine.write("bedplate.toml", "[caches.reports]\nttl = '2m'\n[test.caches.reports]\ntags = ['a']")
        settings = machine.settings(BEDPLATE_ENV="test", BEDPLATE_CACHES__REPORTS__RETRY__TIMES="9")
        section = settings.section(CacheSettings, "caches.reports")
        assert (section.ttl, section.tags, section.retry.times) == (120.0, ("a",), 9)
        assert settings.origin("caches.reports.tags") == "bedplate.toml [test] caches.reports.tags"

    def test_a_standard_name_reaches_every_section_that_wants_it(self, machine: Machine) -> None:
        settings = machine.settings(REDIS_URL="redis://h/0", BEDPLATE_OTHER__URL="redis://other/0")
        assert settings.section(CacheSettings, "one").url == Dsn("redis://h/0")
        assert settings.section(CacheSettings, "other").url == Dsn("redis://other/0")

    def test_the_constructor_can_give_a_section(self, machine: Machine) -> None:
        sources = machine.sources({"BEDPLATE_CACHES__TTL": "5", "BEDPLATE_CACHES__TAGS": "env"})
        for given in ({"ttl": 7}, CacheSettings(ttl=7)):
            section = Settings(sources, caches=given).section(CacheSettings, "caches")
            assert (section.ttl, section.tags) == (7.0, ("env",))

    def test_asking_twice_gives_the_same_value(self, machine: Machine) -> None:
        settings = machine.settings()
        assert settings.section(CacheSettings, "x") is settings.section(CacheSettings, "x")

    def test_a_declared_field_is_the_section_of_its_name(self, machine: Machine) -> None:
        settings = machine.settings()
        assert settings.section(CacheSettings, "cache") is settings.cache

    def test_a_name_means_one_model(self, machine: Machine) -> None:
        settings = machine.settings()
        settings.section(CacheSettings, "x")
        with pytest.raises(DeclarationError, match="Section x is CacheSettings"):
            settings.section(Retry, "x")
        with pytest.raises(DeclarationError, match="is a field"):
            settings.section(Retry, "port")
        with pytest.raises(DeclarationError, match="is no name"):
            settings.section(Retry, "Bad-Name")


class TestUnknownNames:
    def test_typing_errors_are_reported_with_what_was_meant(self, machine: Machine) -> None:
        machine.write("bedplate.toml", "prot = 1\n[caches]\nttll = 1\n[production.caches]\nttl = 2")
        environ = {"BEDPLATE_CACHES__TLT": "1", "LEDGER_PAGESIZE": "1", "OTHER": "1", "BEDPLATE_PORT_FILE": ""}
        settings = machine.settings(**environ)
        settings.section(CacheSettings, "caches")
        assert [(item.name, item.suggestion) for item in settings.unknown()] == [
            ("BEDPLATE_CACHES__TLT", "BEDPLATE_CACHES__TTL"),
            ("LEDGER_PAGESIZE", "LEDGER_PAGE_SIZE"),
            ("prot", "port"),
            ("caches.ttll", "caches.ttl"),
        ]
        assert "Did you mean BEDPLATE_CACHES__TTL?" in str(settings.unknown()[0])

    def test_a_section_given_in_code_but_never_asked_for(self, machine: Machine) -> None:
        settings = Settings(machine.sources({}), nothing={"x": 1})
        assert [item.name for item in settings.unknown()] == ["nothing", "nothing.x"]

    def test_keys_inside_a_mapping_are_values(self, machine: Machine) -> None:
        machine.write("bedplate.toml", "[ledger.weights]\na = 1\nb = 2")
        settings = machine.settings()
        assert settings.weights == {"a": 1.0, "b": 2.0}
        assert settings.unknown() == []


def test_settings_are_frozen_equal_by_value_and_hermetic_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    assert Settings().port == 1
    settings = Settings(Sources.none())
    assert settings.port == 8000
    assert settings == Settings(Sources.none())
    assert settings != Settings(Sources.none(), port=1)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 3  # type: ignore[misc]


def test_sources_of_pydantic_settings_can_be_added(machine: Machine) -> None:
    from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

    class Vaulted(Settings):
        key: Secret

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            *others: PydanticBaseSettingsSource,
            **named: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, InitSettingsSource(settings_cls, {"key": "from the vault", "port": 7}))

    settings = Vaulted(machine.sources({"PORT": "8"}))
    assert settings.key.reveal() == "from the vault"
    assert settings.port == 8

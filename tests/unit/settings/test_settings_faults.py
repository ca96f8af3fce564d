"""One message for all faults, what production refuses, and that no secret is ever shown."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, field_validator, model_validator

from bedplate.problems import Refusal, RefusedError
from bedplate.settings import (
    RULES,
    Declared,
    Dsn,
    Issued,
    RefuseIf,
    RequiredInProduction,
    Rule,
    Secret,
    Section,
    Setting,
    Settings,
    SettingsError,
    Sources,
    describe,
    masked,
)
from bedplate.settings.secret import mask_text

STRONG = "mNs7xQ2v9LpTzR4wKcY8"


def sources(**environ: str) -> Sources:
    return Sources(environ=environ, directory=Path("/dev/null"), secrets=Path("/dev/null"))


class Tokens(Section):
    signing: Secret
    """Signs the links that people are sent."""
    open_to: tuple[str, ...] = ()
    size: int = 1


class Shop(Settings, env_prefix="SHOP_"):
    api_key: Secret
    """The key for partners."""
    smallest: int = 1
    largest: int = 10

    @model_validator(mode="after")
    def in_order(self) -> Shop:
        if self.smallest > self.largest:
            raise ValueError("SHOP_SMALLEST is above SHOP_LARGEST")
        return self


class TestOneMessage:
    def test_every_fault_is_listed_at_once(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Shop(sources(PORT="eighty", REDIS_URL="http://x", LOG_LEVEL="loud", SHOP_LARGEST="many"))
        faults = {refusal.component: refusal for refusal in caught.value.refusals}
        assert set(faults) == {"PORT", "REDIS_URL", "LOG_LEVEL", "SHOP_LARGEST", "SHOP_API_KEY"}
        assert faults["PORT"].what == "should be a valid integer, not 'eighty'."
        assert faults["PORT"].mend.startswith("Expected: integer, ≥ 0, ≤ 65535; unset, it is 8000. The port")
        assert "redis, rediss, unix" in faults["REDIS_URL"].what
        assert faults["SHOP_API_KEY"].mend == (
            "Set it, or SHOP_API_KEY_FILE to the path of a file that holds it. The key for partners."
        )
        assert str(caught.value).startswith("The settings are not valid: 5 faults.\n  - ")
        assert isinstance(caught.value, RefusedError)

    def test_the_place_of_the_fault_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "bedplate.toml").write_text("port = 'x'\n[development]\nworkers = 0")
        (tmp_path / ".env").write_text("LOG_LEVEL=loud")
        with pytest.raises(SettingsError) as caught:
            Settings(Sources(environ={}, directory=tmp_path, secrets=tmp_path / "none"), redis_timeout=-1)
        assert [refusal.component for refusal in caught.value.refusals] == [
            "bedplate.toml port",
            "bedplate.toml [development] workers",
            "redis_timeout",
            ".env LOG_LEVEL",
        ]

    def test_a_fault_between_fields(self) -> None:
        with pytest.raises(SettingsError, match="Shop: SHOP_SMALLEST is above SHOP_LARGEST"):
            Shop(sources(SHOP_SMALLEST="11"), api_key=STRONG)

    def test_an_unknown_environment(self) -> None:
        with pytest.raises(SettingsError, match="ENVIRONMENT: should be 'development', 'test'"):
            Settings(sources(ENVIRONMENT="eu-west"))

    def test_an_unknown_argument(self) -> None:
        with pytest.raises(SettingsError, match="prot: is not a setting"):
            Settings(sources(), prot=1)

    def test_broken_lists(self) -> None:
        with pytest.raises(SettingsError, match="BEDPLATE_ALLOW: begins like JSON but is none"):
            Settings(sources(BEDPLATE_ALLOW="[1,"))
        with pytest.raises(SettingsError, match="not of the form key=value"):
            Settings(sources(OTEL_RESOURCE_ATTRIBUTES="team"))

    @pytest.mark.parametrize(
        ("text", "fault"),
        [("port = x", "is not TOML: .*line 1"), ("environment = 'test'", "sets environment")],
    )
    def test_a_broken_file(self, tmp_path: Path, text: str, fault: str) -> None:
        (tmp_path / "bedplate.toml").write_text(text)
        with pytest.raises(SettingsError, match=rf"bedplate\.toml: {fault}"):
            Settings(Sources(environ={}, directory=tmp_path, secrets=tmp_path))

    def test_a_file_asked_for_must_be_there(self, tmp_path: Path) -> None:
        missing = tmp_path / "other.toml"
        with pytest.raises(SettingsError, match="BEDPLATE_CONFIG: cannot be read"):
            Settings(sources(BEDPLATE_CONFIG=str(missing)))
        missing.write_text("port = 5")
        assert Settings(sources(BEDPLATE_CONFIG=str(missing))).port == 5


class TestCollecting:
    def test_faults_of_settings_and_sections_come_in_one_message(self) -> None:
        environ = {
            "PORT": "x",
            "BEDPLATE_TOKENS__SIZE": "y",
            "BEDPLATE_ENV": "production",
            "DATABASE_URL": "sqlite:///x",
        }
        with pytest.raises(SettingsError) as caught, Shop.collecting(sources(**environ)) as settings:
            assert (settings.port, settings.api_key) == (8000, None)
            tokens = settings.section(Tokens, "tokens")
            assert isinstance(tokens, Tokens)
            assert (tokens.size, tokens.signing) == (1, None)
        assert {refusal.component for refusal in caught.value.refusals} == {
            "PORT",
            "SHOP_API_KEY",
            "BEDPLATE_TOKENS__SIZE",
            "BEDPLATE_TOKENS__SIGNING",
            "DATABASE_URL",
        }

    def test_what_fails_because_of_a_stand_in_is_not_what_is_reported(self) -> None:
        with pytest.raises(SettingsError, match="SHOP_API_KEY: is missing"):
            with Shop.collecting(sources()) as settings:
                settings.api_key.reveal()

    def test_what_fails_by_itself_is_reported(self) -> None:
        with pytest.raises(ZeroDivisionError), Shop.collecting(sources(), api_key=STRONG):
            raise ZeroDivisionError

    def test_good_settings_pass_and_are_strict_afterwards(self) -> None:
        with Shop.collecting(sources(), api_key=STRONG) as settings:
            settings.section(Tokens, "tokens") if settings.otel_sdk_disabled else None
        with pytest.raises(SettingsError, match="BEDPLATE_TOKENS__SIGNING"):
            settings.section(Tokens, "tokens")

    def test_a_stand_in_of_a_model_that_cannot_be_valid(self) -> None:
        with pytest.raises(SettingsError) as caught, Shop.collecting(sources(SHOP_SMALLEST="99")) as settings:
            assert settings.largest == 10
        assert {"SHOP_API_KEY"} <= {refusal.component for refusal in caught.value.refusals}


class TestProduction:
    @staticmethod
    def refused(settings: Settings) -> list[str]:
        return sorted(refusal.component for refusal in settings.refusals())

    def test_defaults_are_safe(self) -> None:
        assert Settings(sources(BEDPLATE_ENV="production")).refusals() == []

    def test_only_production_refuses_and_staging_warns(self) -> None:
        for environment in ("development", "test", "staging"):
            settings = Settings(sources(BEDPLATE_ENV=environment, DATABASE_URL="sqlite:///x"))
            assert settings.refusals() == []
            assert [item.component for item in settings.warnings()] == ["DATABASE_URL"] * (environment == "staging")
            assert [item.component for item in settings.refusals("production")] == ["DATABASE_URL"]
            settings.verify()
        with pytest.raises(SettingsError, match="DATABASE_URL: is sqlite:///x, a database that instances cannot share"):
            Settings(sources(BEDPLATE_ENV="production", DATABASE_URL="sqlite:///x")).verify()

    def test_a_rule_is_broken_on_purpose_by_its_name(self) -> None:
        environ = {"BEDPLATE_ENV": "production", "DATABASE_URL": "sqlite:///x.db"}
        (refusal,) = Settings(sources(**environ)).refusals()
        assert refusal.mend.endswith("To accept it, add sqlite to BEDPLATE_ALLOW.")
        settings = Settings(sources(**environ, BEDPLATE_ALLOW="sqlite"))
        assert settings.refusals() == []
        assert [item.component for item in settings.warnings()] == ["DATABASE_URL"]

    @pytest.mark.parametrize(
        ("name", "value", "safe"),
        [
            ("SHOP_API_KEY", "changeme", False),
            ("SHOP_API_KEY", "Password123!", False),
            ("SHOP_API_KEY", "short", False),
            ("SHOP_API_KEY", "a" * 40, False),
            ("SHOP_API_KEY", STRONG, True),
            ("DATABASE_URL", "postgresql://postgres:postgres@db/x", False),
            ("DATABASE_URL", "postgresql://app:tiny8@db/x", True),
            ("DATABASE_URL", "sqlite+aiosqlite:///x", False),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:pw77x@collector:4318", False),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", True),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:pw77x@collector", True),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:pw77x@localhost:4318", True),
            ("SENTRY_DSN", "https://abc@s.example/1", True),
        ],
    )
    def test_what_is_refused(self, name: str, value: str, safe: bool) -> None:
        environ = {"SHOP_API_KEY": STRONG, "BEDPLATE_ENV": "production", name: value}
        assert self.refused(Shop(sources(**environ))) == ([] if safe else [name])

    def test_a_token_for_the_collector_wants_https(self) -> None:
        headers = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc", "BEDPLATE_ENV": "production"}
        plain = Settings(sources(**headers, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318"))
        assert self.refused(plain) == ["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert plain.otlp_headers == {"authorization": "Bearer abc"}
        assert plain.otlp_traces_url == "http://collector:4318/v1/traces"
        assert self.refused(Settings(sources(**headers, OTEL_EXPORTER_OTLP_ENDPOINT="https://collector"))) == []

    def test_markers_and_wildcards_of_a_section(self) -> None:
        class Web(Section):
            allowed_hosts: tuple[str, ...] = ("*",)
            token: Annotated[Secret | None, RequiredInProduction("anybody could read the metrics")] = None
            backend: Annotated[str, RefuseIf("memory", "loses everything", "Set it to redis.", rule="memory")] = (
                "memory"
            )
            depth: Annotated[int, RefuseIf(lambda value: value > 3, "is deep")] = 4
            webhook: Annotated[Secret | None, Issued()] = Secret("short")

        settings = Settings(sources(BEDPLATE_ENV="production"))
        settings.section(Web, "web")
        allow = " To accept it, add {} to BEDPLATE_ALLOW."
        expected = [
            ("TOKEN: is not set: anybody could read the metrics. Set BEDPLATE_WEB__TOKEN.", "required"),
            ("BACKEND: is memory, which loses everything. Set it to redis.", "memory"),
            ("DEPTH: is 4, which is deep. Set BEDPLATE_WEB__DEPTH to another value.", "unsafe-value"),
            ("ALLOWED_HOSTS: holds *, which trusts everybody. Name those that are to be trusted.", "wildcard"),
        ]
        refusals = [str(item) for item in settings.refusals()]
        assert refusals == [f"BEDPLATE_WEB__{text}{allow.format(rule)}" for text, rule in expected]

    def test_a_secret_in_the_config_file(self, tmp_path: Path) -> None:
        (tmp_path / "bedplate.toml").write_text(
            f"redis_url = 'redis://h/0'\ndatabase_url = 'postgresql://u:some-pw@db/x'\n[shop]\napi_key = '{STRONG}'"
        )
        settings = Shop(Sources(environ={"BEDPLATE_ENV": "production"}, directory=tmp_path, secrets=tmp_path))
        assert self.refused(settings) == ["DATABASE_URL", "SHOP_API_KEY"]

    def test_a_service_adds_rules_of_its_own(self) -> None:
        def lonely(settings: Sequence[Setting]) -> Iterable[Refusal]:
            by_name = {setting.name: setting for setting in settings}
            if by_name["workers"].value == 1:
                yield Refusal("WEB_CONCURRENCY", "is 1.", "Use 2 or more.")

        class Strict(Settings):
            rules = (*RULES, Rule("lonely", "One worker.", lonely))

        assert self.refused(Strict(sources(BEDPLATE_ENV="production"))) == ["WEB_CONCURRENCY"]
        assert self.refused(Strict(sources(BEDPLATE_ENV="production", WEB_CONCURRENCY="2"))) == []


PASSWORDS = st.text(st.characters(codec="ascii", exclude_characters=' "', categories=["L", "N", "P", "S"]), min_size=8)
SECRET = "Zx9-secret-value+with!odd$marks.7"


class TestNothingIsShown:
    def everything(self, settings: Shop) -> str:
        tokens = settings.section(Tokens, "tokens")
        shown: list[Any] = [
            settings,
            repr(settings),
            tokens,
            settings.model_dump_json(),
            tokens.model_dump_json(),
            f"{settings.model_dump()}",
            settings.values(),
            json.dumps(masked(settings)),
            settings.refusals("production"),
            settings.unknown(),
            vars(settings),
            settings._reading,
            [settings._reading.found],
        ]
        return "\n".join(map(str, shown))

    def test_no_view_of_the_settings_shows_a_secret(self) -> None:
        settings = Shop(
            sources(
                SHOP_API_KEY=SECRET,
                BEDPLATE_TOKENS__SIGNING=SECRET,
                REDIS_URL=f"redis://:{SECRET}@cache:6379/0",
                DATABASE_URL=f"postgresql://app:{SECRET}@db/x?sslpassword={SECRET}",
                OTEL_EXPORTER_OTLP_HEADERS=f"key={SECRET}",
            )
        )
        text = self.everything(settings)
        assert SECRET not in text
        assert "redis://:**********@cache:6379/0" in text
        assert masked(settings)["tokens"] == {"signing": "**********", "open_to": "empty", "size": "1"}

    def test_no_fault_shows_a_secret(self) -> None:
        class Picky(Section):
            key: Secret
            password: int = 1
            keys: dict[str, Secret] = Field(default={})

            @field_validator("key")
            @classmethod
            def known(cls, value: Secret) -> Secret:
                raise ValueError(f"{value.reveal()} is not one of ours")

        environ = {
            "BEDPLATE_PICKY__KEY": SECRET,
            "BEDPLATE_PICKY__PASSWORD": SECRET,
            "BEDPLATE_PICKY__KEYS": f'{{"a": ["{SECRET}"]}}',
            "REDIS_URL": SECRET,
            "DATABASE_URL": f"mysql://u:{SECRET}@db/x",
            "LOG_LEVEL": f"http://u:{SECRET}@h",
        }
        with pytest.raises(SettingsError) as caught, Settings.collecting(sources(**environ)) as settings:
            settings.section(Picky, "picky")
        assert len(caught.value.refusals) == 6
        assert SECRET not in str(caught.value)
        assert SECRET.upper() not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_the_redactor_hears_of_every_secret(self) -> None:
        settings = Shop(sources(SHOP_API_KEY=STRONG, REDIS_URL="redis://:p%40ss@h/0", BEDPLATE_TOKENS__SIGNING=SECRET))
        heard: list[str] = []
        settings.on_secret(heard.append)
        assert sorted(heard) == sorted([STRONG, "p%40ss", "p@ss"])
        settings.section(Tokens, "tokens")
        assert heard[-1] == SECRET

    @given(PASSWORDS)
    def test_a_password_in_a_url_is_masked_whatever_it_holds(self, password: str) -> None:
        assert mask_text(f"redis://user:{password}@host:6379/0") == "redis://user:**********@host:6379/0"
        dsn = Dsn(f"redis://user:{quote(password, safe='')}@host:6379/0")
        assert (dsn.password, dsn.host, str(dsn)) == (password, "host", "redis://user:**********@host:6379/0")

    @given(PASSWORDS)
    def test_a_password_that_is_not_encoded_is_read_rightly_or_refused(self, password: str) -> None:
        try:
            dsn = TypeAdapter(Dsn).validate_python(f"redis://user:x{password}@host:6379/0")
        except ValueError as error:
            assert "percent-encode" in str(error)
        else:
            assert (dsn.password, dsn.host) == (unquote(f"x{password}"), "host")

    def test_an_address_of_several_hosts(self) -> None:
        dsn = TypeAdapter(Dsn).validate_python("postgresql://u:p@h1:5432,h2:5432/db")
        assert (dsn.password, str(dsn)) == ("p", "postgresql://u:**********@h1:5432,h2:5432/db")

    def test_a_secret_survives_pickling_and_stays_masked(self) -> None:
        secret = pickle.loads(pickle.dumps(Secret(STRONG)))
        assert secret.reveal() == STRONG
        assert STRONG not in repr(secret)


class TestDescribe:
    def test_every_setting_is_described(self) -> None:
        described = {item.name: item for item in describe(Shop, {"tokens": Tokens})}
        port = described["port"]
        assert (port.env, port.variable, port.default) == (("BEDPLATE_PORT", "PORT"), "PORT", "8000")
        assert (port.expects, port.required, port.secret, port.reloadable) == (
            "integer, ≥ 0, ≤ 65535",
            False,
            False,
            False,
        )
        key = described["api_key"]
        assert (key.env, key.expects, key.required, key.secret, key.doc) == (
            ("SHOP_API_KEY",),
            "secret",
            True,
            True,
            "The key for partners.",
        )
        assert described["tokens.open_to"].env == ("BEDPLATE_TOKENS__OPEN_TO",)
        assert described["tokens.open_to"].expects == "list of text"
        assert described["log_level"].reloadable
        assert described["environment"].expects == "development | test | staging | production"

    def test_all_of_our_own_settings_have_a_doc(self) -> None:
        assert [item.name for item in describe(Settings) if not item.doc] == []

    def test_no_variable_means_two_of_our_settings(self) -> None:
        names = [name for item in describe(Settings) for name in item.env]
        assert len(names) == len(set(names))

    def test_a_description_of_a_default_hides_it_too(self) -> None:
        class Weak(Section):
            token: Secret = Secret("tops3cret")
            password: str = "tops3cret"

        described: list[Declared] = describe(Settings, {"weak": Weak})
        assert "tops3cret" not in str(described)

    def test_bounds_inside_of_an_optional_are_told(self) -> None:
        class Ports(Section):
            second: Annotated[int, Field(ge=0, le=65535)] | None = None

        (second,) = (item for item in describe(Settings, {"ports": Ports}) if item.name == "ports.second")
        assert (second.expects, second.default) == ("integer, ≥ 0, ≤ 65535", "none")

    def test_a_secret_that_is_not_set_is_not_masked(self) -> None:
        class Empty(Section):
            token: str = ""
            passwords: tuple[str, ...] = ()

        described = {item.name: item.default for item in describe(Settings, {"empty": Empty})}
        assert (described["empty.token"], described["empty.passwords"]) == ("empty", "empty")

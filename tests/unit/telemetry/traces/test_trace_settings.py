from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bedplate.settings import Dsn, Secret, Settings, Sources
from bedplate.telemetry.traces import TraceSettings


def of(**environ: str) -> TraceSettings:
    nowhere = Sources.none()
    sources = Sources(environ=environ, directory=nowhere.directory, secrets=nowhere.secrets)
    return TraceSettings.of(Settings(_sources=sources))


def test_the_standard_variables_are_honoured() -> None:
    settings = of(
        OTEL_SERVICE_NAME="shop",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=staging,service.name=other,team=a%20b",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318/",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abcdef",
        OTEL_TRACES_SAMPLER="parentbased_traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.25",
        BEDPLATE_TRACES__SLOW_THRESHOLD="500ms",
    )
    assert settings == TraceSettings(
        service_name="shop",
        resource={"deployment.environment": "staging", "team": "a b"},
        otlp_endpoint=Dsn("http://collector:4318/v1/traces"),
        otlp_headers={"authorization": Secret("Bearer abcdef")},
        sample_ratio=0.25,
        slow_threshold=0.5,
    )
    assert "abcdef" not in repr(settings)


def test_bedplates_own_variables_go_first() -> None:
    settings = of(
        OTEL_TRACES_SAMPLER="always_on",
        BEDPLATE_TRACES__SAMPLE_RATIO="0.5",
        OTEL_SERVICE_NAME="other",
        BEDPLATE_TRACES__SERVICE_NAME="shop",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://general:4318",
        BEDPLATE_TRACES__OTLP_ENDPOINT="http://own:4318/v1/traces",
    )
    assert settings.otlp_endpoint is not None
    assert (settings.sample_ratio, settings.service_name, settings.otlp_endpoint.host) == (0.5, "shop", "own")


@pytest.mark.parametrize(
    "environ", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}]
)
def test_nothing_is_exported_unless_asked_for(environ: dict[str, str]) -> None:
    assert of(**environ).otlp_endpoint is None


@pytest.mark.parametrize(
    ("environ", "ratio"),
    [
        ({}, 0.01),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, 1.0),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5),
    ],
)
def test_samplers(environ: dict[str, str], ratio: float) -> None:
    assert of(**environ).sample_ratio == ratio


def test_the_service_may_be_named_by_its_resource() -> None:
    assert of(OTEL_RESOURCE_ATTRIBUTES="service.name=shop").service_name == "shop"


@pytest.mark.parametrize(
    "wrong", [{"sample_ratio": 1.5}, {"slow_threshold": 0}, {"otlp_endpoint": "ftp://collector"}, {"max_traces": 0}]
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TraceSettings.model_validate(wrong)


def test_a_password_in_the_endpoint_is_not_shown() -> None:
    settings = TraceSettings(otlp_endpoint=Dsn("https://user:hunter22@collector/v1/traces"))
    assert "hunter22" not in f"{settings!r} {settings.model_dump_json()}"

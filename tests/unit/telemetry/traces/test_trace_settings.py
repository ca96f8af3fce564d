from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from bedplate.problems import BedplateError
from bedplate.telemetry.traces import TraceSettings


def test_the_standard_variables_are_honoured() -> None:
    settings = TraceSettings.from_environ(
        {
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=staging,service.name=other,team=a%20b",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
        },
        slow_threshold=0.5,
    )
    assert settings == TraceSettings(
        service_name="shop",
        resource={"deployment.environment": "staging", "team": "a b"},
        otlp_endpoint="http://collector:4318/v1/traces",
        otlp_headers={"authorization": SecretStr("Bearer abc")},
        otlp_timeout=2.5,
        export_delay=0.25,
        sample_ratio=0.25,
        slow_threshold=0.5,
    )
    assert "abc" not in repr(settings)


def test_names_for_traces_go_before_general_ones() -> None:
    settings = TraceSettings.from_environ(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://general:4318",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces:4318/custom",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=shop",
        }
    )
    assert settings.otlp_endpoint == "https://traces:4318/custom"
    assert (settings.otlp_protocol, settings.service_name) == ("http/protobuf", "shop")


@pytest.mark.parametrize("off", [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}, {}])
def test_nothing_is_exported_unless_asked_for(off: dict[str, str]) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"} if off else {}
    assert TraceSettings.from_environ({**endpoint, **off}).otlp_endpoint == ""


@pytest.mark.parametrize(("sampler", "ratio"), [("always_on", 1.0), ("parentbased_always_off", 0.0)])
def test_samplers_without_a_ratio(sampler: str, ratio: float) -> None:
    assert TraceSettings.from_environ({"OTEL_TRACES_SAMPLER": sampler}).sample_ratio == ratio


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_TRACES_SAMPLER_ARG": "half"}, "OTEL_TRACES_SAMPLER_ARG"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "secret-without-equals"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"),
    ],
)
def test_a_malformed_variable_is_named_and_its_secret_is_not(environ: dict[str, str], named: str) -> None:
    with pytest.raises(BedplateError, match=named) as caught:
        TraceSettings.from_environ(environ)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"sample_ratio": 1.5}, {"slow_threshold": 0}, {"otlp_endpoint": "collector:4318"}, {"max_traces": 0}]
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TraceSettings.model_validate(wrong)

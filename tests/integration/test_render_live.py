"""A live Prometheus that scrapes with the rendered configuration, and answers what every panel asks.

What it scrapes has every metric that SynFinance declares, under values that are made up here: counters grow, gauges
stand, histograms fill. So no panel is empty because of its query.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bedplate.metric import Counter, Gauge, Histogram, Label, Metric, Summary
from bedplate.promql.selectors import selectors
from bedplate.render import Options, render
from tests.prometheus import Server, prometheus
from tests.rendering import synfinance, written

#: Values of labels that are bounded by a number and not by a list, where an expression asks for a pattern of them.
KNOWN = {"http_response_status_code": ("200", "500"), "http_route": ("/items",)}
#: Combinations of labels that one family is given.
MANY = 200


Values = Mapping[str, tuple[str, ...]]


def asked_for(exprs: Iterable[str]) -> Values:
    """Return the values of labels that expressions ask for by name, beside those that they do not."""
    found: dict[str, set[str]] = {}
    for expr in exprs:
        for matcher in (matcher for selector in selectors(expr) for matcher in selector.matchers):
            if matcher.operator == "=":
                found.setdefault(matcher.label, {"a"}).add(matcher.value)
    return {label: tuple(sorted(values)) for label, values in found.items()} | KNOWN


def values(label: Label, known: Values) -> tuple[str, ...]:
    return label.values if label.values is not None else known.get(label.name, ("a", "b"))


def exposition(metrics: Iterable[Metric], known: Values, age: float) -> str:
    """Return every family as it looks after some seconds."""
    lines: list[str] = []
    for metric in metrics:
        lines.append(f"# TYPE {metric.name} {metric.type}")
        combinations = itertools.islice(itertools.product(*(values(label, known) for label in metric.labels)), MANY)
        for nth, combination in enumerate(combinations):
            labels = dict(zip(metric.label_names, combination, strict=True))
            lines += (f"{name} {value}" for name, value in samples(metric, labels, age * (1 + nth % 7)))
    return "\n".join(lines) + "\n"


def samples(metric: Metric, labels: Mapping[str, str], seen: float) -> Iterator[tuple[str, float]]:
    match metric:
        case Counter():
            yield named(metric.name, labels), seen
        case Gauge():
            yield named(metric.name, labels), 0.5 if metric.unit == "ratio" else 1
        case Histogram():
            bounds = [*metric.buckets, math.inf]
            for nth, bound in enumerate(bounds, 1):
                le = "+Inf" if bound == math.inf else f"{bound:g}"
                yield named(f"{metric.name}_bucket", {**labels, "le": le}), seen * nth / len(bounds)
            yield named(f"{metric.name}_sum", labels), seen * metric.buckets[0]
            yield named(f"{metric.name}_count", labels), seen
        case Summary():
            yield named(f"{metric.name}_sum", labels), seen
            yield named(f"{metric.name}_count", labels), seen


def named(name: str, labels: Mapping[str, str]) -> str:
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


@contextmanager
def served(metrics: Iterable[Metric], known: Values, token: str) -> Iterator[str]:
    """Serve metrics while inside, to who has the token; return ``host:port``."""
    metrics, begun = tuple(metrics), time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == f"Bearer {token}" and self.path == "/metrics"
            body = exposition(metrics, known, 100 + 10 * (time.monotonic() - begun)).encode() if allowed else b""
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def queries(files: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return every expression of every panel and choice by page and title, as Grafana asks with everything chosen."""
    found: dict[tuple[str, str], str] = {}
    for path, text in files.items():
        if not path.endswith(".json"):
            continue
        page = json.loads(text)
        panels = [inner for panel in page["panels"] for inner in (panel, *panel.get("panels", ()))]
        for panel in panels:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == "prometheus":
                    expr = re.sub(r"\$\w+", ".*", target["expr"].replace("$__rate_interval", "6s"))
                    found[page["title"], f"{panel['title']} {target['refId']}"] = expr
        for choice in page["templating"]["list"]:
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", choice["query"]["query"])
            assert match is not None
            found[page["title"], f"choice of {choice['label']}"] = f'{match[1][:-1]},{match[2]}!=""}}'
        for annotation in page["annotations"]["list"]:
            found[page["title"], "annotation"] = annotation["target"]["expr"]
    return found


def empty(server: Server, asked: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Return the queries that have no number for an answer."""
    return [place for place, expr in asked.items() if all(map(math.isnan, server.values(expr)))]


def test_every_panel_has_data_from_a_prometheus_that_scrapes_the_service(tmp_path: Path) -> None:
    subject = synfinance()
    metrics = {metric.name: metric for spec in subject.specs for metric in spec.metrics}.values()
    token = tmp_path / "scrape-token"
    token.write_text("scraper-of-the-test")
    known = asked_for(expr for spec in subject.specs for panel in spec.panels for expr in panel.exprs)
    with served(metrics, known, token.read_text()) as address:
        options = Options(time_scale=0.02, targets={"": (address,)}, token_file=str(token))
        files = render([subject], options)
        folder = written(files, tmp_path / "deploy")
        asked = queries(files)
        assert len(asked) > 150
        with prometheus(tmp_path, config=folder / "prometheus" / "prometheus.yml") as server:
            server.scraped("synfinance")
            assert {rule["name"] for rule in server.rules() if rule["type"] == "alerting"} == {
                rule.name for rule in subject.rules
            }
            # Windows are a fiftieth; the longest `for` is over after a quarter of a minute.
            waiting = dict(asked)

            def answered() -> bool:
                for place in set(waiting) - set(empty(server, waiting)):
                    del waiting[place]
                return not waiting

            with contextlib.suppress(AssertionError):
                server.until(answered, "data for every panel")
            assert waiting == {}, "these have no data"
            assert {rule["health"] for rule in server.rules()} == {"ok"}
            # Its minute is a second here: a scrape or two that came late fire it for a moment.
            server.until(lambda: "ServiceDown" not in server.firing(), "the service being up")

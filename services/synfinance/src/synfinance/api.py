"""SynFinance over HTTP."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import polars as pl
from fastapi import FastAPI, Request
from starlette.responses import Response

from bedplate.problems import Problem
from bedplate.service.api_docs import api_docs
from bedplate.telemetry.http import problem_response
from synfinance import __version__, bodies
from synfinance.bodies import BadBody
from synfinance.components import Busy, CardHistory, Compute, DataQuality, FraudDetection, Generation
from synfinance.components.detection import Scored
from synfinance.fraud import UnfitTable
from synfinance.quality import BadSchema, Report
from synfinance.schemas import Alerts, Health, QualityRows, ScoreRows, SimulateRequest, Simulation
from synfinance.transactions import as_json

__all__ = ["Limits", "create_app"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for."""

    simulated: int = 50_000
    rows: int = 10_000
    body_bytes: int = 16 * 1024 * 1024


def _tables(example: str, model: type[ScoreRows] | type[QualityRows]) -> dict[str, Any]:
    """Describe a body that is JSON rows, CSV or Parquet."""
    schema = model.model_json_schema()
    # References inside would be looked for at the root of the OpenAPI document.
    for name, definition in schema.pop("$defs", {}).items():
        schema = orjson.loads(
            orjson.dumps(schema).replace(b'{"$ref":"#/$defs/%s"}' % name.encode(), orjson.dumps(definition))
        )
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": schema},
                "text/csv": {"schema": {"type": "string"}, "example": example},
                "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    }


def create_app(
    *,
    compute: Compute,
    generation: Generation,
    detection: FraudDetection,
    quality: DataQuality,
    cards: CardHistory,
    limits: Limits | None = None,
) -> FastAPI:
    """Return the application; its components need not have started."""
    limits = limits or Limits()
    app = FastAPI(
        title="SynFinance",
        version=__version__,
        summary="Synthetic card transactions, fraud detection and data quality.",
        description="Times are in UTC, amounts exact: decimal strings in answers, numbers or strings in requests. "
        "Faults are answered as RFC 9457 problems that say what to do.",
        docs_url=None,
        redoc_url=None,
    )
    api_docs(app)
    app.add_exception_handler(BadBody, _bad_body)
    app.add_exception_handler(Busy, _busy)

    @app.get("/")
    async def describe(request: Request) -> dict[str, Any]:
        """Say what is here."""
        root = request.scope.get("root_path", "")
        return {
            "service": "synfinance",
            "version": __version__,
            "links": {name: f"{root}/{name}" for name in ("docs", "health", "fraud", "metrics", "monitoring")},
            "endpoints": {
                "POST /simulate": "generate transactions with injected fraud, score and assess them",
                "POST /score": "score transactions: JSON, CSV or Parquet",
                "POST /quality": "assess the quality of any table: JSON, CSV or Parquet",
                "GET /fraud": "what was detected in the last minutes, and how well",
            },
        }

    @app.get("/health")
    async def health() -> Health:
        """Say how the service is, in short."""
        model = detection.model()
        well = model["state"] in ("trained", "loaded", "untrained")
        return Health(status="healthy" if well else "degraded", service="synfinance", version=__version__, model=model)

    @app.get("/fraud")
    async def fraud() -> dict[str, Any]:
        """Summarise the last minutes: rates, confusion matrix, precision and recall by type and severity."""
        return {**detection.summary(), "cache": cards.summary(), "quality": quality.summary()}

    @app.post("/simulate")
    async def simulate(asked: SimulateRequest | None = None) -> Simulation:
        """Generate transactions with injected fraud, score them and assess their quality."""
        asked = asked or SimulateRequest()
        if asked.rows > limits.simulated:
            raise BadBody(f"At most {limits.simulated:,} rows are generated at once, not {asked.rows:,}.")
        try:
            frame, generated = await generation.simulate(asked.rows, asked.fraud)
        except ValueError as error:
            raise BadBody(f"{str(error).capitalize()}.") from None
        scored = await detection.score(frame)
        report, assessed = await quality.assess(frame.gather_every(-(-frame.height // limits.rows)))
        transactions = await compute.run(_first, frame, scored, asked.first)
        return Simulation(
            rows=frame.height,
            fraud=_alerts(scored),
            detector="fraud" if scored.trained else "anomalies",
            anomalies=int(scored.scores.is_anomaly.sum()),
            cache_hit_rate=scored.recall.hit_rate and round(scored.recall.hit_rate, 4),
            quality_score=round(report.score, 2),
            seconds={
                "generation": round(generated, 4),
                "features": round(scored.scores.feature_seconds, 4),
                "prediction": round(scored.scores.prediction_seconds, 4),
                "quality": round(assessed, 4),
            },
            transactions=transactions,
        )

    @app.post("/score", openapi_extra=_tables("timestamp,card_id,amount\n2025-02-01T12:00:00Z,K1,12.30\n", ScoreRows))
    async def score(request: Request, only: Literal["all", "alerts"] = "all") -> Response:
        """Score transactions; with ``only=alerts`` the answer lists alerts alone. ``row`` counts from 0."""
        body = await bodies.read(request, limits.body_bytes)
        frame, notes = await compute.run(_transactions, body, limits.rows)
        try:
            scored = await detection.score(frame)
        except UnfitTable as error:
            raise BadBody(f"{_sentence(error)} Columns are described in the API's documentation.") from None
        return Response(await compute.run(_scores, frame, scored, notes, only), media_type="application/json")

    @app.post("/quality", openapi_extra=_tables("date,amount\n2025-02-01,12.30\n", QualityRows))
    async def assess(request: Request) -> Response:
        """Assess the quality of any table: a score from 0 to 100, and what every lost point was lost for."""
        body = await bodies.read(request, limits.body_bytes)
        frame, reference, schema, notes = await compute.run(_assessable, body, limits.rows)
        try:
            report, _ = await quality.assess(frame, reference, schema)
        except BadSchema as error:
            raise BadBody(f"The schema is not usable: {error}.") from None
        except ValueError as error:
            raise BadBody(_sentence(error)) from None
        return Response(await compute.run(_document, report, notes), media_type="application/json")

    return app


async def _bad_body(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadBody)
    return problem_response(error.problem)


async def _busy(request: Request, error: Exception) -> Response:
    return problem_response(Problem(status=503, detail=str(error), headers={"Retry-After": "1"}))


# What follows is called in threads.


def _transactions(body: bytes, limit: int) -> tuple[pl.DataFrame, tuple[str, ...]]:
    if bodies.documents(body):
        return bodies.transactions_table(bodies.json_of(body), limit), ()
    table = bodies.table_of(body, limit, whole=True)
    return table.frame, table.notes


def _assessable(
    body: bytes, limit: int
) -> tuple[pl.DataFrame, pl.DataFrame | None, dict[str, Any] | None, tuple[str, ...]]:
    if not bodies.documents(body):
        table = bodies.table_of(body, limit, whole=False)
        return table.frame, None, None, table.notes
    document = bodies.json_of(body)
    frame = bodies.rows_table(bodies.listed(document, "rows", limit))
    if isinstance(document, list):
        return frame, None, None, ()
    if unknown := sorted(set(document) - {"rows", "reference", "schema"}):
        raise BadBody(f"The member {unknown[0]!r} is not known; there are rows, reference and schema.")
    reference = document.get("reference")
    if reference is not None:
        reference = bodies.rows_table(bodies.listed({"reference": reference}, "reference", limit))
    return frame, reference, document.get("schema"), ()


def _first(frame: pl.DataFrame, scored: Scored, count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = orjson.loads(
        as_json(pl.concat([frame.head(count), scored.scores.frame().head(count)], how="horizontal"))
    )
    return rows


def _scores(frame: pl.DataFrame, scored: Scored, notes: tuple[str, ...], only: str) -> bytes:
    columns = [frame.select("transaction_id")] if "transaction_id" in frame.columns else []
    listed = pl.concat([*columns, scored.scores.frame()], how="horizontal").with_row_index("row")
    if only == "alerts":
        listed = listed.filter("alert")
    head = {
        "rows": frame.height,
        "alerts": int(scored.scores.decision.sum()),
        "anomalies": int(scored.scores.is_anomaly.sum()),
        "detector": "fraud" if scored.trained else "anomalies",
        "cache_hit_rate": scored.recall.hit_rate,
        "notes": [*notes, *scored.notes],
    }
    return orjson.dumps(head)[:-1] + b',"scores":' + as_json(listed).encode() + b"}"


def _document(report: Report, notes: tuple[str, ...]) -> bytes:
    document = report.to_dict()
    return orjson.dumps({**document, "notes": [*notes, *document["notes"]]})


def _alerts(scored: Scored) -> Alerts:
    alerts = scored.scores.decision
    fraud = scored.labels.fraud if scored.labels is not None else ~alerts & alerts
    hit = int((alerts & fraud).sum())
    kinds = sorted(scored.scores.type[alerts].tolist())
    return Alerts(
        injected=int(fraud.sum()),
        detected=hit,
        missed=int((~alerts & fraud).sum()),
        false_alarms=int((alerts & ~fraud).sum()),
        precision=round(hit / int(alerts.sum()), 4) if alerts.any() else None,
        recall=round(hit / int(fraud.sum()), 4) if fraud.any() else None,
        by_type={kind: len(list(group)) for kind, group in itertools.groupby(kinds)},
    )


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."

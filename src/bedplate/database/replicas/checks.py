"""What a deployment with replicas must answer of them."""

from __future__ import annotations

from bedplate.declarations import Check, Suite

__all__ = ["checks"]


def checks(name: str) -> tuple[Check, ...]:
    """Return the checks of one database's replicas."""
    which = "" if name == "default" else f"{name}-"

    def check(what: str, summary: str, *fields: str, at: str = "", suite: Suite = "smoke") -> Check:
        return Check(
            name=f"replicas-{which}{what}",
            path=f"/database/{at or f'replica/{what}'}?database={name}",
            summary=summary,
            group="replicas",
            role="viewer",
            within=2.0,
            fields=fields,
            suite=suite,
        )

    return (
        check("health", "Replicas are looked at.", "status", "healthy", "readsFrom", "replicas.0.state"),
        check("lag", "It is known how far they are behind.", "maxLagSeconds", "limitSeconds", "thresholds.critical"),
        check("stats", "It is counted who answers reads, and why the primary had to.", "reads.primary", "fallbacks"),
        check(
            "pool-stats", "Connections to each server are counted.", "primary.limit", "replicas.replica1.limit",
            suite="observability",
        ),
        check(
            "settings", "It is told what the database is, and when a replica is too far behind.",
            "type", "available", "replicas.total", "replicaLagLimit", at="info", suite="observability",
        ),
    )  # fmt: skip

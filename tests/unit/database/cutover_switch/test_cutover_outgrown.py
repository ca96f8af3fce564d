"""What another engine needs is rendered from the catalog, before a cutover and after it alike."""

from __future__ import annotations

import psycopg
import pytest
from typer.testing import CliRunner

from bedplate.cli import app
from bedplate.database.cutover import CutoverError, Plan
from bedplate.database.cutover.outgrown import outgrown
from bedplate.database.cutover.switch import switch
from tests.switching import PLAN, brought, switching

MORE = """CREATE TABLE places (id int PRIMARY KEY);
CREATE TABLE organizations (organization_id int PRIMARY KEY);
INSERT INTO organizations SELECT generate_series(0, 11);
ALTER TABLE orders ADD place int REFERENCES places, ADD FOREIGN KEY (organization_id) REFERENCES organizations;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY; COMMENT ON TABLE orders IS 'what was ordered'"""


def test_what_is_rendered_makes_the_tables_anywhere(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, switching(url) as work:
        connection.execute(MORE)
        before = outgrown(connection, PLAN, "citus")
        brought(work)
        switch(work)
        after = outgrown(connection, PLAN, "citus")
        spread = [one for one in before.statements if "create_" in one]
        assert spread[0] == "SELECT create_reference_table(E'public.places')"
        assert [one.partition(", colocate")[2] for one in spread[1:]] == [
            "_with => E'none', shard_count => 4)",
            """_with => E'"public"."orders"')""",
        ]
        assert [one for one in after.statements if "create_" in one] == spread
        assert "PARTITION" not in after.text.upper().replace("PARTITIONED BY", "")
        for words in (
            "Untested",
            "public.places is copied",
            "organizations has organization_id",
            "Row security of public.orders",
        ):
            assert any(words in note for note in before.notes), before.notes
        # What is plain SQL in it is tried where there is no such engine.
        connection.execute("DROP TABLE orders_legacy, lines_legacy, orders, lines CASCADE")
        for statement in before.statements:
            if "citus" not in statement and "SELECT create_" not in statement:
                connection.execute(statement.encode())
        connection.execute("INSERT INTO orders (organization_id) VALUES (3)")
        with pytest.raises(CutoverError, match="Nothing is known of an engine"):
            outgrown(connection, PLAN, "abacus")
        with pytest.raises(CutoverError, match="cannot be spread by nothing"):
            outgrown(connection, Plan(tables="orders", key="nothing"), "citus")


def test_the_command_prints_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    done = CliRunner().invoke(app, ["cutover", "layout", "orders", "--engine", "citus"])
    assert done.exit_code == 0 and "-- Untested" in done.output and "create_distributed_table" in done.output

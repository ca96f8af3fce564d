"""Where tables move to partitions, statements are planned for the values at hand, unless somebody said otherwise."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bedplate.database import Database, DatabaseSettings
from bedplate.database.cutover import Cutover
from bedplate.testing import running
from tests.unit.database.cutover_machine.scripted_cutover import Script


@pytest.mark.parametrize(("moves", "plans", "mode"), [(True, "auto", "force_custom_plan"), (False, "auto", "auto")])
async def test_a_database_whose_tables_move_plans_for_each_value(
    machine_url: str, name: str, moves: bool, plans: str, mode: str
) -> None:
    database = Database(machine_url, settings=DatabaseSettings(plans=plans))
    moving = Cutover(database, name, tables="orders", key="organization_id", partitions=4, steps=Script().steps())
    async with running(moving if moves else database), database.connect() as connection:
        assert (await connection.execute(text("SHOW plan_cache_mode"))).scalar_one() == mode


async def test_it_may_be_said_for_any_other_database(machine_url: str) -> None:
    database = Database(machine_url, settings=DatabaseSettings(plans="custom"))
    async with running(database), database.connect() as connection:
        assert (await connection.execute(text("SHOW plan_cache_mode"))).scalar_one() == "force_custom_plan"

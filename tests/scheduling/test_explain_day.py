"""One day of a pipeline explained: published, held back, missed, or not due."""

from datetime import date, timedelta
from pathlib import Path

from convergence_assets.control.partition_states import Pauses
from convergence_assets.scheduling.explain import UNSEEN, explain
from convergence_assets.scheduling.explain_day import ExplainedDay, explain_day
from tests.scheduling.world import START, World, at, target

DAY = timedelta(days=1)


def explained(world: World, day: date) -> ExplainedDay:
    return explain_day(world.store, world.targets[0], day, lambda target: False)


def test_a_published_day_names_its_tables_and_has_no_reason(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme")], at(START + 2 * DAY, 7))
    world.publish(world.targets[0], [START], "by_hand")
    day = explained(world, START)
    assert {table: p and p.run_id for table, p in day.tables.items()} == dict.fromkeys(day.tables, "by_hand")
    assert day.tables
    assert day.reason is None


def test_a_day_without_rows_always_has_a_reason(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme")], at(START + 3 * DAY, 7))
    assert explained(world, START - DAY).reason == f"the pipeline starts on {START}"
    assert str(explained(world, START + 9 * DAY).reason).startswith("it is due at ")
    assert explained(world, START).reason == UNSEEN
    Pauses(world.store).pause("acme", None, "anna", "the export moves")
    assert "paused by anna" in str(explained(world, START).reason)
    Pauses(world.store).resume("acme", None)
    world.tick()
    reasons = [explained(world, START + n * DAY).reason for n in range(3)]
    assert all(reasons), reasons
    assert "requested" in str(reasons[2])


def test_days_that_were_published_by_hand_are_not_missed(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme")], at(START + 5 * DAY, 7))
    world.publish(world.targets[0], [START, START + 2 * DAY], "by_hand")
    (found,) = explain(world.store, world.targets)
    assert found.missed == 3
    world.publish(world.targets[0], [START + DAY, START + 3 * DAY, START + 4 * DAY], "by_hand")
    (found,) = explain(world.store, world.targets)
    assert (found.missed, found.missed_because) == (0, None)

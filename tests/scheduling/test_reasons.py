"""Why a due day is not requested: there is always a sentence."""

from datetime import date, timedelta
from pathlib import Path

from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.run_requests import Quota
from convergence_assets.scheduling.explain import SWITCHED_OFF, UNSEEN, explain
from tests.scheduling.world import START, World, at, target

DAY = timedelta(days=1)


def reasons(world: World) -> dict[date, str]:
    (found,) = explain(world.store, world.targets)
    return {row.day: row.reason for row in found.days}


def test_a_day_that_another_run_holds_names_the_run(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme")], at(START + DAY, 6))
    Locks(world.store).acquire(Claim("acme", "a", START, START), "by_hand")
    assert world.tick() == []
    assert "run by_hand works on it" in reasons(world)[START]


def test_a_full_plan_is_said_with_its_number(tmp_path: Path) -> None:
    quota = Quota("acme", "UTC", 1, 1000, 20000)
    world = World(tmp_path, [target("acme", quota=quota)], at(START + DAY, 6), minutes=(2000, 3000))
    assert len(world.tick()) == 1
    world.now += DAY  # the first day's run goes on, and the next day is due
    world.planner.due(world.targets[0].schedule)
    assert "the plan is full: 1 of 1 runs at once" in reasons(world)[START + DAY]


def test_a_used_up_plan_says_when_it_goes_on(tmp_path: Path) -> None:
    quota = Quota("acme", "UTC", 4, 1, 20000)
    world = World(tmp_path, [target("acme", quota=quota), target("acme", "b", quota=quota)], at(START + DAY, 6))
    world.tick()
    reasons = [row.reason for found in explain(world.store, world.targets) for row in found.days if row.state == "due"]
    assert reasons
    assert all("the plan's limit: " in why for why in reasons)


def test_a_schedule_that_is_switched_off_and_a_pipeline_that_nobody_loaded_are_said(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme")], at(START + 3 * DAY, 7))
    (off,) = explain(world.store, world.targets, is_off=lambda target: True)
    assert off.paused == SWITCHED_OFF
    (unseen,) = explain(world.store, world.targets)
    assert (unseen.missed, unseen.missed_because, unseen.days) == (3, UNSEEN, ())

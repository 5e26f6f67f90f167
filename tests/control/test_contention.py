"""Many processes and one lock: one of them holds it, and its end, however it ends, frees it."""

import time
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.control.locks import STALE_AFTER
from tests.control.processes import Processes

DAY = "2026-03-10"
AT_ONCE = pytest.mark.parametrize("count", [4, pytest.param(32, marks=pytest.mark.soak)])


@pytest.mark.slow
@pytest.mark.timeout(180)
@AT_ONCE
def test_of_processes_that_ask_at_once_one_holds_and_the_others_name_it(
    processes: Processes, tmp_path: Path, count: int
) -> None:
    asking = processes.start(count)
    go = tmp_path / "go"
    for number, process in enumerate(asking):
        process.tell(do="hold", run_id=f"run{number}", days=[DAY], when=str(go))
    go.touch()
    answers = [process.answer() for process in asking]
    (winner,) = [number for number, payload in enumerate(answers) if payload["got"]]
    refusals = [payload for payload in answers if not payload["got"]]
    assert [payload["holder"] for payload in refusals] == [f"run{winner}"] * (count - 1)
    for named in ("tenant acme, pipeline costs, partition 2026-03-10", f"run run{winner} (host ", "Next: wait"):
        assert all(named in payload["message"] for payload in refusals)
    assert asking[winner].ask(do="confirm", run_id=f"run{winner}") == {"still": True}


@pytest.mark.slow
@pytest.mark.timeout(180)
@AT_ONCE
def test_of_processes_that_ask_for_overlapping_weeks_no_two_hold_a_day(
    processes: Processes, tmp_path: Path, count: int
) -> None:
    asking = processes.start(count)
    go = tmp_path / "go"
    firsts = [1 + n * 7 % 20 for n in range(count)]
    weeks = [(date(2026, 3, first), date(2026, 3, first + 6)) for first in firsts]
    for number, (process, week) in enumerate(zip(asking, weeks, strict=True)):
        process.tell(do="hold", run_id=f"run{number}", days=[str(d) for d in week], when=str(go))
    go.touch()
    held = [week for process, week in zip(asking, weeks, strict=True) if process.answer()["got"]]
    days = [day for first, last in held for day in range(first.day, last.day + 1)]
    assert len(held) >= 2
    assert len(days) == len(set(days))


@pytest.mark.parametrize("reap", [True, False], ids=["reaped", "left by its parent"])
def test_a_holder_killed_with_9_frees_its_days_at_once(processes: Processes, reap: bool) -> None:
    one, two = processes.start(2)
    assert one.ask(do="hold", run_id="one", days=[DAY])["got"]
    assert two.ask(do="hold", run_id="two", days=[DAY])["holder"] == "one"
    one.kill(reap=reap)
    began = time.monotonic()
    assert two.ask(do="hold", run_id="two", days=[DAY])["got"]
    assert time.monotonic() - began < STALE_AFTER.seconds


def test_a_process_that_ends_in_order_leaves_no_lock(processes: Processes) -> None:
    one, two = processes.start(2)
    assert one.ask(do="hold", run_id="one", days=[DAY])["got"]
    one.end()
    assert two.ask(do="hold", run_id="two", days=[DAY])["got"]


def test_a_released_run_frees_its_days_while_its_process_goes_on(processes: Processes) -> None:
    one, two = processes.start(2)
    assert one.ask(do="hold", run_id="one", days=[DAY])["got"]
    one.ask(do="release", run_id="one")
    assert two.ask(do="hold", run_id="two", days=[DAY])["got"]
    assert one.ask(do="hold", run_id="three", days=[DAY])["holder"] == "two"


def test_two_processes_of_one_run_hold_the_same_days(processes: Processes) -> None:
    one, two, other = processes.start(3)
    assert one.ask(do="hold", run_id="run", days=[DAY])["got"]
    assert two.ask(do="hold", run_id="run", days=[DAY])["got"]
    one.kill()
    assert other.ask(do="hold", run_id="other", days=[DAY])["holder"] == "run"
    two.kill()
    assert other.ask(do="hold", run_id="other", days=[DAY])["got"]


@pytest.mark.slow
def test_processes_that_open_a_new_store_at_once_all_find_it_migrated(processes: Processes, tmp_path: Path) -> None:
    asking = processes.start(4)
    go = tmp_path / "go"
    for process in asking:
        process.tell(do="open", when=str(go))
    go.touch()
    assert [process.answer() for process in asking] == [{"opened": True}] * 4
    assert asking[0].ask(do="hold", run_id="one", days=[DAY])["got"]

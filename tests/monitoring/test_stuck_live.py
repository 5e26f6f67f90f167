"""A real daemon and runs that hang in each way: found, ended, freed, alerted once, and requested again."""

import signal
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psutil
import pytest

from convergence_assets.control.incidents import all_incidents, open_incidents
from convergence_assets.control.locks import Locks
from convergence_assets.control.partition_states import Pauses
from convergence_assets.control.remediations import Remediations
from tests.assets.project import Project
from tests.run_launcher.platform_in_a_process import BERLIN, DEFAULT, FINISHED, WARM, running

LIMITS = """
stuck: {queued_minutes: 0.5, starting_minutes: 1, no_progress_minutes: 0.25, canceling_minutes: 1}
max_pipeline_duration_minutes: 1
"""
KINDS = {
    "sleep": "no_progress", "swallow": "no_progress", "gil": "no_progress", "query": "over_duration",
    "killed": "dead", "queued": "queued", "slow": None, "cli": "dead",
}  # fmt: skip


@pytest.mark.parametrize(
    ("instance", "ways"),
    [
        pytest.param(WARM, ("killed", "queued", "slow"), marks=pytest.mark.live),
        pytest.param(WARM, tuple(KINDS), marks=pytest.mark.soak),
        pytest.param(DEFAULT, tuple(KINDS), marks=pytest.mark.soak),
    ],
    ids=["our launcher", "our launcher, all ways", "Dagster's own"],
)
@pytest.mark.timeout(600)
def test_a_run_that_hangs_in_any_way_is_ended_alerted_once_and_its_day_arrives(
    project: Project, instance: str, ways: tuple[str, ...]
) -> None:
    # Dagster's own launcher fails a run whose worker is killed before anybody calls it dead.
    kinds = {how: KINDS[how] for how in ways} | ({"killed": None} if instance == DEFAULT else {})
    yesterday = datetime.now(UTC).astimezone(ZoneInfo(BERLIN)).date() - timedelta(days=1)
    days = {how: yesterday - timedelta(days=n) for n, how in enumerate(ways)}
    oldest = min(days.values())
    environ = {"HANGING_SLOW_SECONDS": "10"}
    with running(project, instance, tuple(days.values()), LIMITS, oldest, **environ) as platform:
        store = platform.store()
        hangs = {"killed": "sleep", "cli": "sleep"}
        platform.plan({day: hangs.get(how, how) for how, day in days.items() if how != "queued"})
        runs = {how: platform.launch(day) for how, day in days.items() if how not in ("queued", "cli")}
        runs["queued"] = platform.launch(days["queued"], blocked="yes")
        typed = None
        if "cli" in ways:
            typed, runs["cli"] = platform.materialize_by_hand(days["cli"])
        processes = {how: platform.wait_for_start(run, 90) for how, run in runs.items() if how != "queued"}
        platform.plan({})
        processes["killed"].send_signal(signal.SIGKILL)
        if typed:
            typed.kill()
            typed.wait()
        stuck = [run for how, run in runs.items() if kinds[how]]

        def all_closed() -> bool:
            found = Remediations(store).of(stuck)
            return len(found) == len(stuck) and not Remediations(store).unfinished("closed")

        platform.wait_for(all_closed, 300)
        taken = Remediations(store).of(list(runs.values()))
        assert {
            how: next(iter(taken[run].values())).kind if run in taken else None for how, run in runs.items()
        } == kinds
        statuses = {how: platform.status(run) for how, run in runs.items()}
        assert set(statuses.values()) <= set(FINISHED)
        assert statuses["slow"] == "SUCCESS"
        psutil.wait_procs(processes.values(), timeout=5)
        assert not [how for how, p in processes.items() if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        locks = Locks(store)
        held = {lock.run_id for lock in locks.all() if locks.free_because(lock) is None}
        assert not held & set(runs.values())
        with store.read() as connection:
            incidents = [i for i in all_incidents(connection) if i.tenant_id == "acme"]
        expected = [("run_stuck", kind, str(days[how])) for how, kind in kinds.items() if kind]
        expected += [("run_failed", "run_failure", str(days["killed"]))] if instance == DEFAULT else []
        assert sorted((i.kind, i.cause, i.partition) for i in incidents) == sorted(expected)
        assert all("requested again" in incident.done for incident in incidents if incident.kind == "run_stuck")

        Pauses(store).resume("acme", None)

        def mended() -> bool:
            with store.read() as connection:
                return not open_incidents(connection, tenant_id="acme")

        platform.wait_for(mended, 150)
    assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [len(days)]

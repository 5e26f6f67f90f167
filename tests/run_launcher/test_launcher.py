"""The warm launcher under the real daemon: quick, one tenant a worker, ended from outside, found again."""

from datetime import date, timedelta

import psutil
import pytest

from tests.assets.project import Project
from tests.run_launcher.platform_in_a_process import running

DAY = date(2026, 3, 2)
DAYS = tuple(DAY + timedelta(days=n) for n in range(5))


@pytest.mark.live
@pytest.mark.timeout(240)
def test_runs_are_forked_warm_and_ended_whether_they_listen_or_not(project: Project) -> None:
    with running(project, days=DAYS) as platform:
        platform.plan({DAYS[1]: "sleep", DAYS[2]: "swallow", DAYS[3]: "gil"})
        first = platform.launch(DAYS[0])
        assert platform.wait_for_end(first, 90) == "SUCCESS"
        assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [1]
        hanging = [platform.launch(day) for day in DAYS[1:4]]
        processes = [platform.wait_for_start(run) for run in hanging]
        for process in processes:
            assert process.environ() is not None
        for run in hanging:
            assert platform.terminate(run) == "TerminateRunSuccess"
        # The code server answers all the while: nobody waits for a deaf worker.
        last = platform.launch(DAYS[4])
        assert platform.wait_for_end(last, 30) == "SUCCESS"
        assert [platform.wait_for_end(run, 60) for run in hanging] == ["CANCELED"] * 3
        psutil.wait_procs(processes, timeout=5)
        assert not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

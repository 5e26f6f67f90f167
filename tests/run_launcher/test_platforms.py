"""A platform that answers slowly does not hold up the sensor that asks it about every run."""

from types import SimpleNamespace

import dagster as dg
import pytest

from convergence_assets.dagster_internals.run_launchers import CheckRunHealthResult, WorkerStatus
from convergence_assets.run_launcher import platforms
from convergence_assets.run_launcher.platforms import Platform

RUN = dg.DagsterRun("job", run_id="8b1b42fd-04ba-4f93-9d39-8a3c8a1fbe0a")


def test_it_is_asked_until_its_time_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    calls: list[str] = []

    def answer(run: dg.DagsterRun) -> CheckRunHealthResult:
        calls.append(run.run_id)
        clock[0] += 15
        return CheckRunHealthResult(WorkerStatus.FAILED)

    monkeypatch.setattr(platforms, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    launcher = SimpleNamespace(supports_check_run_worker_health=True, check_run_worker_health=answer)
    platform = Platform(SimpleNamespace(run_launcher=launcher), 20.0)  # type: ignore[arg-type]
    assert [platform.is_healthy(RUN) for _ in range(4)] == [False, False, None, None]
    assert len(calls) == 2


def test_one_that_fails_to_answer_says_nothing_of_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    class K8sRunLauncher:
        __module__ = "dagster_k8s.launcher"

        def get_container_context_for_run(self, run: dg.DagsterRun) -> None:
            raise ConnectionError("refused")

    platform = Platform(SimpleNamespace(run_launcher=K8sRunLauncher()), 20.0)  # type: ignore[arg-type]
    assert platform.state(RUN, None) is None
    assert f"run {RUN.run_id}: the state of its worker cannot be read" in caplog.text

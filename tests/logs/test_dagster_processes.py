"""The real daemon, webserver, code server and workers: every line is JSON, and a run's say whose they are."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.assets.project import Project
from tests.run_launcher.platform_in_a_process import DEFAULT, WARM, running

INSTANCE = "instance_class: {module: convergence_assets.dagster_instance, class: Instance}\n"
DAY, EMPTY_DAY = date(2026, 3, 2), date(2026, 3, 3)


def lines_of(log: str) -> list[Mapping[str, Any]]:
    """Without what Dagster's `dev` prints before anything of ours is loaded."""
    lines = log.splitlines()
    while lines and not lines[0].startswith("{"):
        assert "SupersessionWarning" in lines[0] or lines[0].startswith("  ")
        lines.pop(0)
    return [json.loads(line) for line in lines]


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("instance", [WARM, DEFAULT], ids=["warm workers", "Dagster's own launcher"])
def test_every_line_of_every_process_is_json_and_a_runs_lines_say_whose_they_are(tmp_path: Path, instance: str) -> None:
    with running(Project.at(tmp_path / "home"), f"{instance}\n{INSTANCE}", (DAY,)) as platform:
        good, bad = platform.launch(DAY), platform.launch(EMPTY_DAY)
        assert (platform.wait_for_end(good), platform.wait_for_end(bad)) == ("SUCCESS", "FAILURE")
        # What a worker says last may come after Dagster knows of its end.
        platform.wait_for(lambda: all(f'{end}", ' in platform.log for end in ("run_success", "run_failure")))
    lines = lines_of(platform.log)
    assert {"dagster.daemon", "dagster-webserver", "dagster.run"} <= {line["logger"] for line in lines}

    own = [line for line in lines if line.get("pipeline_run_id") == good]
    assert {(line["tenant"], line["pipeline_id"], line["partition"]) for line in own} == {
        ("acme", "demo_costs", str(DAY))
    }
    events = [(line["event"], line.get("step")) for line in own if line["event"] != "asset_check_evaluation"]
    assert events == [
        ("run_start", None),
        *((event, step) for step in ("lines", "totals") for event in ("step_start", "asset_materialization", "step_success")),
        ("run_success", None),
    ]  # fmt: skip
    took = {(line["event"], line.get("step")): line["duration_ms"] for line in own if "duration_ms" in line}
    assert took.keys() == {("step_success", "lines"), ("step_success", "totals"), ("run_success", None)}
    assert took["run_success", None] >= took["step_success", "lines"] + took["step_success", "totals"] > 0

    failed = {
        line["event"]: line
        for line in lines
        if line.get("pipeline_run_id") == bad and line["severity"] != "INFO" and "event" in line
    }
    assert failed["step_failure"]["severity"] == "ERROR"
    assert "no rows yet" in failed["step_failure"]["exception"]
    assert failed["step_failure"]["duration_ms"] > 0
    assert failed["asset_check_evaluation"]["check"] == "partition_is_not_empty"
    (skipped,) = (line for line in lines if line["message"].endswith("Not executing."))
    assert (skipped["severity"], skipped["tenant"], skipped["step"]) == ("ERROR", "acme", "totals")
    assert failed["run_failure"]["tenant"] == "acme"

"""A deployment in a folder: the real daemon, webserver and code server, and what a test asks of them."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import psutil

from convergence_assets.control.location import control_url
from convergence_assets.control.partition_states import Pauses
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from tests.assets.dagster_server import BIN, dagster_dev, environment
from tests.assets.project import TENANTS, Project, hourly

T = TypeVar("T")
BERLIN = "Europe/Berlin"
FINISHED = ("SUCCESS", "FAILURE", "CANCELED")
WARM = """
run_launcher: {module: convergence_assets.dagster_instance, class: WarmRunLauncher}
run_coordinator:
  module: dagster._core.run_coordinator.queued_run_coordinator
  class: QueuedRunCoordinator
  config:
    max_concurrent_runs: 10
    dequeue_interval_seconds: 1
    tag_concurrency_limits: [{key: blocked, limit: 0}]
"""
DEFAULT = "\n".join(line for line in WARM.splitlines() if not line.startswith("run_launcher"))


@dataclass
class Platform:
    """`ask` is GraphQL; `plan` says which day's run misbehaves, and how; `restart` ends daemon, webserver and code server
    and starts them again, and leaves what they launched."""

    project: Project
    environ: Mapping[str, str]
    ask: Callable[..., Any]
    restart: Callable[[], None] = lambda: None

    @property
    def log(self) -> str:
        return (Path(self.environ["DAGSTER_HOME"]) / "dev.log").read_text()

    def plan(self, days: Mapping[date, str]) -> None:
        Path(self.environ["HANGING_PLAN"]).write_text("\n".join(f"{day} {how}" for day, how in days.items()))

    def launch(self, day: date, **tags: str) -> str:
        """As the UI launches it; the run's id."""
        own = {"dagster/partition": str(day)} | tags
        launched = self.ask(
            """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
                 __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } ... on InvalidSubsetError { message } } }""",
            p={
                "selector": {
                    "repositoryLocationName": "hanging_definitions",
                    "repositoryName": "__repository__",
                    "jobName": "__ASSET_JOB",
                    "assetSelection": [{"path": ["acme", "demo_costs", t]} for t in ("lines", "totals")],
                },
                "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in own.items()]},
            },
        )["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def materialize_by_hand(self, day: date) -> "tuple[subprocess.Popen[bytes], str]":
        """`dagster asset materialize`, which runs in its own process; that process, and the run's id."""
        with self.instance() as instance:
            before = {run.run_id for run in instance.get_runs()}
            words = ["asset", "materialize", "-m", "hanging_definitions", "--select", "key:acme/demo_costs/*"]
            typed = subprocess.Popen(
                [BIN / "dagster", *words, "--partition", str(day)],
                env=dict(self.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

            def made() -> str:
                new = [run for run in instance.get_runs() if run.run_id not in before]
                return next((run.run_id for run in new if run.tags.get("dagster/partition") == str(day)), "")

            return typed, self.wait_for(made, 60)

    def terminate(self, run_id: str) -> str:
        payload = self.ask("mutation($r: String!) { terminateRun(runId: $r) { __typename } }", r=run_id)
        return str(payload["terminateRun"]["__typename"])

    def status(self, run_id: str) -> str:
        query = "query($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }"
        return str(self.ask(query, r=run_id)["runOrError"]["status"])

    def wait_for(self, what: Callable[[], T | None], seconds: float = 60) -> T:
        """The first true answer; fails with the log's end."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"did not happen within {seconds} s\n{self.log[-6000:]}"
            time.sleep(0.2)
        return found

    def wait_for_end(self, run_id: str, seconds: float = 60) -> str:
        return self.wait_for(lambda: s if (s := self.status(run_id)) in FINISHED else None, seconds)

    def wait_for_start(self, run_id: str, seconds: float = 60) -> psutil.Process:
        """The run's worker, once its step has begun."""
        self.wait_for(lambda: self.step_began(run_id), seconds)
        return psutil.Process(self.worker(run_id))

    def step_began(self, run_id: str) -> bool:
        """And its process is known."""
        query = "query($r: ID!) { runOrError(runId: $r) { ... on Run { stepStats { status } } } }"
        began = bool(self.ask(query, r=run_id)["runOrError"]["stepStats"])
        return began and Workers(self.store()).find(run_id) is not None

    def worker(self, run_id: str) -> int:
        found = Workers(self.store()).find(run_id)
        assert found is not None
        return found.owner.process

    def store(self) -> ControlStore:
        return ControlStore(control_url(self.project.settings, {}))

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(self.environ["DAGSTER_HOME"])


@contextmanager
def running(
    project: Project,
    instance: str = WARM,
    days: tuple[date, ...] = (),
    defaults: str = "",
    first: date | None = None,
    **more: str,
) -> Iterator[Platform]:
    """`defaults` are lines for `_defaults.yaml`; with `first` the planner may ask for the days from then on,
    once the tenant is resumed."""
    project.load_bills([row for day in days for row in hourly(day, BERLIN, 1.25)])
    tenants = project.settings.home / "tenants"
    shutil.copytree(TENANTS, tenants)
    shared, own = tenants / "_defaults.yaml", tenants / "acme" / "tenant.yaml"
    shared.write_text(shared.read_text().replace("max_concurrent_runs: 2", "max_concurrent_runs: 8") + defaults)
    if first:
        text = own.read_text().replace("paused: true", "paused: false")
        own.write_text(text.replace("start_date: 2026-03-01", f'start_date: {first}\n    schedule: "* * * * *"'))
        # What runs is for the test to say, until it resumes the tenant.
        store = ControlStore(control_url(project.settings, {}))
        Pauses(store).pause("acme", None, "the test", "runs come by hand")
    plan = project.settings.home / "plan"
    plan.touch()
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    own_variables = {"HANGING_PLAN": str(plan), "PYTHONPATH": path, "CONVERGENCE_TENANTS": str(tenants)}
    environ = environment(project, instance, **own_variables, **more)
    with ExitStack() as stack:
        platform = Platform(project, environ, stack.enter_context(dagster_dev(environ, "hanging_definitions")))

        def restart() -> None:
            stack.close()
            platform.ask = stack.enter_context(dagster_dev(environ, "hanging_definitions"))

        platform.restart = restart
        try:
            yield platform
        finally:
            stack.close()
            for process in workers_of(project):
                process.send_signal(signal.SIGKILL)


def workers_of(project: Project) -> list[psutil.Process]:
    """Every process that a deployment in this folder left: forkserver and workers."""
    home = str(project.settings.home)
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        if environ.get("CONVERGENCE_HOME") == home and process.pid != os.getpid():
            found.append(process)
    return found

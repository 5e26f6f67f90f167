"""Watchers that are killed all the time: no event is lost, nothing is told twice but what was on its way, all ends."""

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import dagster as dg
import pytest

from convergence_assets.control import incidents, notifications, outbox
from convergence_assets.control.location import control_url
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from tests import dagster_homes
from tests.alerting.receivers import Receiver
from tests.assets.project import TENANTS, Project
from tests.clean_environment import clean_environment
from tests.ledger.following import good, run_assets, table

FIRST = date(2026, 3, 1)


def failing(cause: str) -> Any:
    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        raise dg.Failure(f"the user's own words for {cause}", {"error_class": cause}, allow_retries=False)
        yield

    return body


@dataclass
class Scene:
    """A deployment whose watcher is killed now and then, and the receiver of its alerts."""

    store: ControlStore
    instance: dg.DagsterInstance
    environ: dict[str, str]
    log: BinaryIO
    receiver: Receiver
    chance: random.Random = field(default_factory=lambda: random.Random(11))
    kills: int = 0

    def __post_init__(self) -> None:
        self.watcher = self.watch()
        self.next_kill = time.monotonic() + 5  # starting alone takes two seconds

    def watch(self) -> "subprocess.Popen[bytes]":
        script = Path(__file__).with_name("watcher.py")
        return subprocess.Popen([sys.executable, script], env=self.environ, stderr=self.log)

    def fail(self, n: int) -> None:
        run_assets(self.instance, table("lines", failing(f"cause_{n}")), partition_key=str(FIRST + timedelta(days=n)))

    def mend(self, n: int) -> None:
        day = FIRST + timedelta(days=n)
        run_id = run_assets(self.instance, table("lines", good()), partition_key=str(day))
        for name in ("lines", "totals"):
            Publications(self.store).record("acme", "demo_costs", name, {day: 1}, run_id=run_id, read_through=0)
        # What the follower sees after the publication is said, as in a real run.
        run_assets(self.instance, table("totals", good()), partition_key=str(day))

    def perhaps_kill(self) -> None:
        assert self.watcher.poll() is None, "the watcher ended by itself"
        if time.monotonic() > self.next_kill:
            self.watcher.kill()
            self.watcher.wait()
            self.kills += 1
            self.watcher, self.next_kill = self.watch(), time.monotonic() + self.chance.uniform(3, 9)

    def wait_for(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not what():
            assert time.monotonic() < deadline, f"{len(self.incidents())} incidents, {len(self.receiver.got)} messages"
            assert self.watcher.poll() is None, "the watcher ended by itself"
            time.sleep(0.2)

    def incidents(self) -> list[incidents.Incident]:
        with self.store.read() as connection:
            return [i for i in incidents.all_incidents(connection) if i.kind == "run_failed"]

    def told(self) -> set[str]:
        """The incidents that the receiver was told of."""
        return {body["dedup_key"] for body in list(self.receiver.bodies) if body["event_action"] == "trigger"}

    def all_is_told(self) -> bool:
        with self.store.read() as connection:
            return not outbox.unsent_notifications(connection) and not notifications.open_notifications(connection)


@pytest.mark.parametrize(
    ("events", "kills"),
    [pytest.param(30, 1, marks=pytest.mark.live), pytest.param(500, 4, marks=pytest.mark.soak)],
    ids=["30 events", "500 events"],
)
@pytest.mark.timeout(1200)
def test_watchers_that_are_killed_lose_nothing_and_tell_once(
    tmp_path: Path, project: Project, events: int, kills: int
) -> None:
    receiver = Receiver()
    tenants, dagster_home = tmp_path / "tenants", tmp_path / "dagster"
    shutil.copytree(TENANTS, tenants)
    with (tenants / "_defaults.yaml").open("a") as shared:
        shared.write(f"alerts: {{routes: [{{severities: [critical], to: 'pagerduty+http://KEY@{receiver.place}'}}]}}\n")
    dagster_homes.dagster_home(dagster_home)
    environ = clean_environment() | {
        "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(tenants),
        "DAGSTER_HOME": str(dagster_home),
    }  # fmt: skip
    store = ControlStore(control_url(project.settings, {}))
    failures = range(events // 2)
    with (tmp_path / "watcher.log").open("wb") as log, dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        scene = Scene(store, instance, environ, log, receiver)
        try:
            mended_at_once = {n for n in failures if scene.chance.random() < 0.4}
            for n in failures:
                scene.fail(n)
                if n in mended_at_once:
                    scene.mend(n)
                scene.perhaps_kill()
            # Who is told late would find the others mended, and be told nothing.
            scene.wait_for(lambda: len(scene.told()) >= len(failures) - len(mended_at_once))
            # A fast machine comes this far before the first kill is due.
            while scene.kills < kills:
                scene.perhaps_kill()
                time.sleep(0.2)
            for n in failures:
                if n not in mended_at_once:
                    scene.mend(n)
                    scene.perhaps_kill()
            scene.wait_for(lambda: all(i.resolved_at for i in scene.incidents()) and scene.all_is_told())
        finally:
            scene.watcher.kill()
            scene.watcher.wait()
            receiver.stop()
    assert scene.kills >= kills
    assert sorted(i.cause for i in scene.incidents()) == sorted(f"cause_{n}" for n in failures)
    assert all(i.count == 1 for i in scene.incidents()), "each was observed once"
    messages = Counter((body["dedup_key"], body["event_action"]) for body in receiver.bodies)
    assert sum(count - 1 for count in messages.values()) <= scene.kills, "a death repeats at most what was on its way"
    announced = scene.told()
    assert announced == {key for key, action in messages if action == "resolve"}, (
        "whoever was told of it is told of its end"
    )
    # What was mended before anybody was told is told to nobody.
    assert len(failures) - len(mended_at_once) <= len(announced) <= len(failures)

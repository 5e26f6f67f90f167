"""A deployment in simulated time: the real planner and control store, runs that take minutes of the clock and fail."""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from convergence_assets.control.location import FILE, control_url
from convergence_assets.control.partition_states import Request
from convergence_assets.control.publications import Publications, Tables
from convergence_assets.control.run_requests import Outcome, Quota, Requests
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.capacity import Launch
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.requesting import RequestedRun
from convergence_assets.scheduling.targets import Target, Targets
from convergence_assets.settings import Settings, Shard
from tests.control_stores import sqlite_store

START = date(2026, 3, 1)


def target(
    tenant: str, pipeline: str = "a", reads: str | None = None, *, timezone: str = "UTC", start_date: date = START,
    quota: Quota | None = None, **fields: Any,
) -> Target:  # fmt: skip
    """A pipeline of one table `t_<pipeline>`, that reads the table of another one."""
    tables = Tables({f"t_{pipeline}": {f"t_{reads}": start_date} if reads else {}}, timezone)
    upstream = frozenset({reads}) if reads else frozenset[str]()
    quota = quota or Quota(tenant, timezone, 4, 1000, 20000)
    return replace(Target(tenant, pipeline, "0 6 * * *", timezone, start_date, tables, upstream, quota), **fields)


@dataclass
class Run:
    launch: Launch
    run_id: str
    began: datetime
    read_through: int
    outcome: Outcome | None = None


@dataclass
class World:
    """`fails(launch)` says what a run does: False succeed, True fail, None: it is never made."""

    folder: Path
    targets: Sequence[Target]
    now: datetime
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    url: str | None = None
    fail_share: float = 0.0
    lost_share: float = 0.0
    interrupted_share: float = 0.0
    minutes: tuple[int, int] = (2, 20)

    def __post_init__(self) -> None:
        if not self.url and not (self.folder / FILE).exists():
            sqlite_store(self.folder / FILE)
        environ = {"CONVERGENCE_HOME": str(self.folder)} | ({"CONVERGENCE_CONTROL_URL": self.url} if self.url else {})
        self.store = ControlStore(control_url(Settings.from_env(environ), {}), lambda: self.now)
        self.publications, self.requests = Publications(self.store), Requests(self.store)
        self.share_out(1)
        self.runs: dict[str, Run] = {}
        self.launched: list[tuple[datetime, Launch]] = []
        self.published: Counter[tuple[str, str, date]] = Counter()
        self.published_at: dict[tuple[str, str, date], datetime] = {}
        self.in_flight: dict[tuple[str, str], set[date]] = defaultdict(set)
        self._ending: list[tuple[datetime, int, str]] = []
        self._numbers = count()
        self._ticked: dict[tuple[Planner, tuple[str, str]], date] = {}

    def share_out(self, parts: int) -> None:
        """From now on so many planners decide, each over its part of the tenants."""
        self.planners = []
        for number in range(1, parts + 1):
            shard = Shard(number, parts)
            own = [t for t in self.targets if shard.holds(t.tenant_id)]
            self.planners.append((Planner(self.store, Targets(own), self.lookup, shard), own))
        self.on = {t.schedule for t in self.targets}

    @property
    def planner(self) -> Planner:
        """Where nobody shared them out."""
        ((planner, _),) = self.planners
        return planner

    def lookup(self, requests: Sequence[Request]) -> Mapping[str, RequestedRun]:
        return {
            r.key: RequestedRun(self.runs[r.key].run_id, self.runs[r.key].outcome)
            for r in requests
            if r.key in self.runs
        }

    def tick(self) -> list[Launch]:
        """One round of the daemon: the schedules whose minute has come, then the catch-up sensor."""
        launches = []
        for planner, own in self.planners:
            for schedule in {t.schedule for t in own} & self.on:
                target = next(t for t in own if t.schedule == schedule)
                through = target.due_through(self.now)
                if self._ticked.get((planner, schedule)) != through:
                    self._ticked[planner, schedule] = through
                    launches += planner.due(schedule)
            launches += planner.catch_up(self.on)
        for launch in launches:
            self.begin(launch)
        return launches

    def begin(self, launch: Launch) -> None:
        days = set(days_of(launch))
        if launch.key in self.runs:
            return  # Dagster skips a run key that it knows
        if self.chance.random() < self.lost_share:
            return
        self.launched.append((self.now, launch))
        name = launch.target.name
        assert not days & self.in_flight[name], f"asked for twice at once: {launch.key}"
        self.in_flight[name] |= days
        run_id = f"run{next(self._numbers)}"
        run = self.runs[launch.key] = Run(launch, run_id, self.now, self.publications.newest_version())
        self.requests.take(launch.key, launch.claim, run_id, None, launch.target.quota, lambda _: None)
        ends = self.now + timedelta(minutes=self.chance.randint(*self.minutes))
        heapq.heappush(self._ending, (ends, next(self._numbers), launch.key))
        assert run.outcome is None

    def advance(self, to: datetime) -> None:
        """End the runs whose time has come, each at its minute."""
        while self._ending and self._ending[0][0] <= to:
            self.now, _, key = heapq.heappop(self._ending)
            self._end(self.runs[key])
        self.now = to

    def _end(self, run: Run) -> None:
        target, days = run.launch.target, days_of(run.launch)
        self.in_flight[target.name] -= set(days)
        if self.chance.random() < self.fail_share:
            run.outcome = "failed"
            self.requests.record_outcome(run.launch.key, "failed")  # as a step says of itself
            return
        if self.chance.random() < self.interrupted_share:
            run.outcome = "interrupted"
            self.requests.record_outcome(run.launch.key, "failed")  # its step does not know why it ends
            return
        found = self.publications.between(target.tenant_id, target.tables.all_tables(), days[0], days[-1])
        for day in days:
            assert not target.tables.is_current(day, found), f"published once more for nothing: {run.launch.key} {day}"
            assert not target.tables.missing(day, found), f"before what it reads: {run.launch.key} {day}"
        self.publish(target, days, run.run_id, run.read_through)
        run.outcome = "succeeded"

    def publish(self, target: Target, days: Iterable[date], run_id: str, read_through: int | None = None) -> None:
        through = self.publications.newest_version() if read_through is None else read_through
        rows = dict.fromkeys(days, 1)
        for table in target.tables.reads:
            self.publications.record(
                target.tenant_id, target.pipeline, table, rows, run_id=run_id, read_through=through
            )
        for day in rows:
            self.published[(*target.name, day)] += 1
            self.published_at[(*target.name, day)] = self.now

    def outstanding_days(self) -> list[tuple[str, str, date]]:
        """Every day that is due now and not as it should be."""
        wrong = []
        for target in self.targets:
            through = target.due_through(self.now)
            found = self.publications.between(target.tenant_id, target.tables.all_tables(), target.start_date, through)
            for n in range((through - target.start_date).days + 1):
                day = target.start_date + timedelta(days=n)
                if not target.tables.is_current(day, found):
                    wrong.append((*target.name, day))
        return wrong


def days_of(launch: Launch) -> list[date]:
    return [launch.first + timedelta(days=n) for n in range((launch.last - launch.first).days + 1)]


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)

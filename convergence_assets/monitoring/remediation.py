"""The remedy of a stuck run, step by step: each is taken once, recorded, and reported in the run's own log."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import Literal

import dagster as dg

from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Alert, fingerprint
from convergence_assets.assets.materialize import origin_run_id
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import partition_states, runs
from convergence_assets.control.incidents import amend_incident, raise_alert
from convergence_assets.control.locks import Locks
from convergence_assets.control.remediations import Part, Remediations, RemediationStep, key
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from convergence_assets.dagster_internals import pools, run_records
from convergence_assets.ledger.run_mapping import INTERRUPTED
from convergence_assets.ledger.run_reducer import REMEDIATION
from convergence_assets.monitoring.stuck import WITHOUT_ALERT, Stuck
from convergence_assets.monitoring.sweeping import Sweeper
from convergence_assets.process import is_gone
from convergence_assets.redaction import redacted
from convergence_assets.run_launcher.termination import Ended, end_in_background
from convergence_assets.scheduling.requeueing import requeue_days
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline
from convergence_assets.warehouse.errors import WarehouseError

StepName = Literal["alerted", "jobs_cancelled", "terminated", "forced", "freed", "requested_again", "closed"]
STEPS: tuple[StepName, ...] = (
    "alerted", "jobs_cancelled", "terminated", "forced", "freed", "requested_again", "closed"
)  # fmt: skip
FORCED_AFTER = timedelta(seconds=45)
"""How long after its end was requested a run is brought to a final state from outside."""
LAUNCHER_SECONDS = 20.0
"""How long to wait for another launcher to end a run."""
WAREHOUSE_SECONDS = 15.0
"""How long a warehouse that does not answer is queried for the run's jobs."""
COUNTED_FOR = timedelta(hours=24)
"""The period in which `request_again` counts."""
AT_ONCE = 8

CANCELED = "canceled"
_ENDED = ("dead", INTERRUPTED, CANCELED)
_QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """A stuck run: its part in each pipeline, its kind, and how often its days may be requested again."""

    run_id: str
    kind: str
    parts: tuple[Part, ...]
    request_again: int


class Remediation:
    """The remedy of stuck runs in one deployment. Its state is in the control store; any process can continue."""

    def __init__(
        self, instance: dg.DagsterInstance, store: ControlStore, settings: Settings, tenants: Mapping[str, Tenant]
    ) -> None:
        self._instance = instance
        self._store = store
        self._settings = settings
        self._tenants = tenants
        self._remediations = Remediations(store)

    def begin(self, stuck: Stuck, request_again: int) -> Case:
        """Take the first step for a run that was found stuck: record it, and raise its alert."""
        activity = stuck.activity
        case = Case(activity.run_id, stuck.kind, activity.parts, request_again)
        with self._store.write(key(case.run_id)) as connection:
            if not self._remediations.begin(connection, case.run_id, "alerted", case.kind, case.parts[0]):
                return case
            if case.kind not in WITHOUT_ALERT:
                # The run's row before its incident, as the follower locks them.
                runs.mark_stuck(connection, case.run_id, redacted(stuck.reason), self._store.now())
                for part in sorted(case.parts, key=_fingerprint):
                    raise_alert(connection, _alert(case, part, stuck.sentence), self._store.now())
            self._remediations.record_outcome(connection, case.run_id, "alerted", stuck.sentence)
        self._log_to_run(case, f"found stuck ({case.kind}): {stuck.sentence}")
        return case

    def run_all(self, cases: Sequence[Case], seconds: float) -> list[str]:
        """Take for each run the steps that can be taken now, in parallel; what was done, in words. What takes longer
        than `seconds` continues in the background, and the next call finds its result."""
        if not cases:
            return []
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="remedy")
        running = [pool.submit(self.run, case) for case in cases]
        done, _ = wait(running, timeout=seconds)
        pool.shutdown(wait=False, cancel_futures=True)
        outcomes: list[str] = []
        for finished in done:
            try:
                outcomes += finished.result()
            except Exception:
                _log.exception("the remedy of a stuck run failed; it is tried again in the next tick")
        return outcomes

    def is_closed(self, case: Case) -> bool:
        """Whether all steps were taken."""
        closed = self._steps_taken(case).get("closed")
        return closed is not None and closed.done_at is not None

    def run(self, case: Case) -> list[str]:
        """Take the steps that can be taken now, in their order; what was done, in words."""
        outcomes: list[str] = []
        while (step := self._next_step(case)) is not None:
            with self._store.write(key(case.run_id)) as connection:
                if not self._remediations.begin(connection, case.run_id, step, case.kind, case.parts[0]):
                    return outcomes  # another process does it
            outcome = self._take_step(step, case)
            with self._store.write(key(case.run_id)) as connection:
                self._remediations.record_outcome(connection, case.run_id, step, outcome)
                done = "; ".join(
                    r.outcome for r in self._steps_taken(case).values() if r.done_at and r.step != "alerted"
                )
                for part in sorted(case.parts, key=_fingerprint):
                    amend_incident(connection, _fingerprint(part), "; ".join(filter(None, (done, outcome))))
            self._log_to_run(case, f"{step}: {outcome}")
            outcomes.append(f"run {case.run_id}: {step}: {outcome}")
        return outcomes

    def _steps_taken(self, case: Case) -> Mapping[str, RemediationStep]:
        return self._remediations.of([case.run_id]).get(case.run_id, {})

    def _next_step(self, case: Case) -> StepName | None:
        """The step that is to be taken now, None where the run has to end first, or all are taken."""
        taken = self._steps_taken(case)
        for step in STEPS:
            if step in taken and taken[step].done_at is not None:
                continue
            return step if step != "forced" or self._may_force(case, taken) else None
        return None

    def _may_force(self, case: Case, taken: Mapping[str, RemediationStep]) -> bool:
        if self._run(case) is None:
            return True
        worker = Workers(self._store).find(case.run_id)
        if case.kind in _ENDED or (worker and is_gone(worker.owner)):
            return True
        return self._store.now() - taken["terminated"].begun_at > FORCED_AFTER

    def _take_step(self, step: StepName, case: Case) -> str:
        actions: dict[StepName, Callable[[Case], str]] = {
            "jobs_cancelled": self._cancel_jobs,
            "terminated": self._terminate,
            "forced": self._force_end,
            "freed": self._free_slots,
            "requested_again": self._request_again,
            "closed": lambda _: "seen to its end",
        }
        try:
            return actions[step](case)
        except Exception as error:  # the next steps matter more than this one
            _log.exception("run %s: %s failed", case.run_id, step)
            return f"{step.replace('_', ' ')} failed: {type(error).__name__}: {error}"

    def _run(self, case: Case) -> dg.DagsterRun | None:
        """The run, None once it is over or deleted."""
        run = self._instance.get_run_by_id(case.run_id)
        return None if run is None or run.is_finished else run

    def _cancel_jobs(self, case: Case) -> str:
        cancelled = 0
        for location in {self._location(part) for part in case.parts}:
            # A warehouse that is down must not keep the run's process alive.
            with open_warehouse(self._settings, location, budget_seconds=WAREHOUSE_SECONDS) as warehouse:
                jobs = [job for job in warehouse.running_jobs() if job.labels.get("run_id") == case.run_id]
                warehouse.cancel_jobs(jobs)
                cancelled += len(jobs)
        return f"{cancelled} warehouse jobs cancelled" if cancelled else "no warehouse job was running"

    def _location(self, part: Part) -> str | None:
        tenant = self._tenants.get(part.tenant_id)
        return tenant.location if tenant else None

    def _terminate(self, case: Case) -> str:
        run = self._run(case)
        if run is None:
            return "it had ended by itself"
        if run.status in _QUEUED:
            run_records.cancel_queued(self._instance, run)
            return "taken out of the queue"
        worker = Workers(self._store).find(case.run_id)
        gone = is_gone(worker.owner) if worker else None
        if case.kind in _ENDED or gone:
            return "its process had ended"
        if run.status != dg.DagsterRunStatus.CANCELING:
            run_records.run_is_canceling(self._instance, run)
        if worker is not None and gone is False:
            end_in_background(worker.owner, partial(self._record_end, case))
            return f"asked {worker.owner} to end, by force where it does not listen"
        # The process is not visible here: its launcher has to end it, which may take a while.
        asking = Thread(target=self._ask_launcher, args=(run.run_id,), name=f"ending run {run.run_id}", daemon=True)
        asking.start()
        asking.join(LAUNCHER_SECONDS)
        return "asked its launcher to end it" + (", which has not answered yet" if asking.is_alive() else "")

    def _ask_launcher(self, run_id: str) -> None:
        try:
            self._instance.run_launcher.terminate(run_id)
        except Exception as error:
            _log.warning("run %s: its launcher could not end it: %s", run_id, error)

    def _record_end(self, case: Case, how: Ended) -> None:
        _log.info("run %s: its process was %s", case.run_id, how)

    def _force_end(self, case: Case) -> str:
        run = self._run(case)
        if run is None:
            ended = self._instance.get_run_by_id(case.run_id)
            return f"not needed: it ended as {ended.status.value}" if ended else "not needed: it was deleted"
        if case.kind == INTERRUPTED:
            message = "Interrupted: its worker was ended from outside."
            run_records.run_was_interrupted(self._instance, run, message)
            return "said that it was interrupted"
        if case.kind == CANCELED:
            run_records.run_was_canceled(self._instance, run, "Its worker has ended, as was requested.")
            return "said that it was canceled"
        run_records.run_has_failed(self._instance, run, f"Stuck ({case.kind}): brought to its end from outside.")
        return "brought to the state FAILURE from outside"

    def _free_slots(self, case: Case) -> str:
        locks = Locks(self._store)
        freed = locks.release([lock.fence for lock in locks.all() if lock.run_id == case.run_id])
        pools.free_slots(self._instance, case.run_id)
        return f"its places in pools freed, {freed} locks released, {self._drop_staged(case)}"

    def _drop_staged(self, case: Case) -> str:
        """Drop the staged rows, unless a check had stopped some of them before the run was ended from outside."""
        run = self._instance.get_run_by_id(case.run_id)
        staged_by = origin_run_id(self._instance, run) if run is not None else case.run_id
        tenants = [self._tenants[part.tenant_id] for part in case.parts if part.tenant_id in self._tenants]
        sweeper = Sweeper(self._instance, self._store, self._settings)
        if sweeper.has_evidence(staged_by):
            return "what it staged is kept for those who look at what its checks stopped"
        try:
            for tenant in {tenant.tenant_id: tenant for tenant in tenants}.values():
                sweeper.drop(tenant, staged_by)
        except (WarehouseError, OSError) as error:
            return f"what it staged is left for the next sweep ({error})"
        return "what it staged removed"

    def _request_again(self, case: Case) -> str:
        ended = self._instance.get_run_by_id(case.run_id)
        if ended is not None and ended.status == dg.DagsterRunStatus.SUCCESS:
            return "not requested again: it succeeded"
        if case.kind == INTERRUPTED:
            return "its days are requested at once, as of every interrupted run"
        if case.kind == CANCELED:
            return "not requested again: its end was requested"
        return "; ".join(self._request_part_again(case, part) for part in case.parts)

    def _request_part_again(self, case: Case, part: Part) -> str:
        if case.request_again == 0:
            return "not requested again: request_again is 0"
        tenant = self._tenants.get(part.tenant_id)
        pipeline = next((p for p in tenant.pipelines if p.name == part.pipeline), None) if tenant else None
        if tenant is None or pipeline is None or part.first is None or part.last is None:
            return "not requested again: it names no partition of a pipeline that is known"
        with self._store.read() as connection:
            since = self._store.now() - COUNTED_FOR
            before = self._remediations.taken_since(connection, "requested_again", part, since) - 1  # this one's row
        if before >= case.request_again:
            return f"not requested again: it was, {before} times within a day (request_again)"
        reason = f"its run was stuck ({case.kind})"
        days = requeue_days(self._store, tenant, pipeline, part.first, part.last, case.run_id, reason)
        if not days:
            return "not requested again: all of its days are published"
        outcome = f"{len(days)} days requested again" if len(days) > 1 else f"{days[0]} requested again"
        return (
            f"{outcome} (its pipeline is paused: not before it is resumed)"
            if self._is_paused(tenant, pipeline)
            else outcome
        )

    def _is_paused(self, tenant: Tenant, pipeline: TenantPipeline) -> bool:
        pauses = partition_states.Pauses(self._store).all()
        by_hand = partition_states.pause_of(pauses, (tenant.tenant_id, pipeline.name)) is not None
        return tenant.paused or pipeline.paused or by_hand

    def _log_to_run(self, case: Case, message: str) -> None:
        run = self._instance.get_run_by_id(case.run_id)
        if run is not None:
            with suppress(Exception):
                run_records.log_to_run(self._instance, run, f"{REMEDIATION} {message}")


def _fingerprint(part: Part) -> str:
    return fingerprint("run_stuck", part.tenant_id, part.pipeline, part.partition)


def _alert(case: Case, part: Part, sentence: str) -> Alert:
    kind = kinds.RUN_ENDED_BY_HAND if case.kind == "by_hand" else kinds.RUN_STUCK
    return kind.alert(
        f"Run {case.run_id}: {sentence}.",
        case.kind,
        anchor=f"stuck-{case.kind.replace('_', '-')}",
        tenant_id=part.tenant_id,
        pipeline=part.pipeline,
        partition=part.partition,
        run_id=case.run_id,
        kind=case.kind.replace("_", " "),
    )

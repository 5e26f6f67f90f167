"""A new tenant: the request compared with what exists, and what its onboarding would create."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from convergence_assets.assets.dry_run import StepEstimate, dry_run
from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.ledger.tables import TABLES
from convergence_assets.scheduling.targets import targets_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.folder import Files, Folder, read_folder
from convergence_assets.tenancy.grants import Grant, in_one_line, is_written, merged, written
from convergence_assets.tenancy.registry import load_to_check
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.tenancy.tenant_file import DEFAULTS_FILE
from convergence_assets.tenant_lifecycle import onboarding_request
from convergence_assets.tenant_lifecycle.onboarding_files import TenantsFile
from convergence_assets.tenant_lifecycle.onboarding_request import TENANT_FILE, TenantSettings
from convergence_assets.tenant_lifecycle.service_accounts import AccountGrant, account_grants
from convergence_assets.warehouse.schema import TableRef, TableSchema


class OnboardingRefused(Exception):
    """The request cannot be fulfilled, and nothing was changed; `reasons` are all of them, `next_step` what to do."""

    def __init__(self, reasons: Sequence[str], next_step: str) -> None:
        super().__init__(f"{'; '.join(reasons)}. Next: {next_step}")
        self.reasons = tuple(reasons)
        self.next_step = next_step


class TenantExists(OnboardingRefused):
    """A tenant of this id exists already, and differs from the request."""


class OnboardingFailed(Exception):
    """A step failed: `undone` is what was undone, `left` what could not be, each with the next step."""

    def __init__(self, step: str, error: Exception, undone: Sequence[str], left: Sequence[str]) -> None:
        kind = getattr(error, "error_class", type(error).__name__)
        super().__init__(f"{step} failed ({kind}): {error}")
        self.undone = tuple(undone)
        self.left = tuple(left)


@dataclass(frozen=True)
class PipelineSchedule:
    """When a pipeline's days are requested: the first one becomes due at `first_due_at` (UTC), and `due` of them are
    due already."""

    pipeline: str
    schedule: str
    timezone: str
    first_day: date
    first_due_at: datetime
    due: int


@dataclass(frozen=True)
class OperatorLines:
    """The change of `_defaults.yaml` that grants a tenant what was requested: its text `before` and `after`."""

    file: TenantsFile
    grant: Grant
    before: bytes
    after: bytes

    @property
    def by_hand(self) -> str:
        """The manual step where the file cannot be written from here."""
        return f"write {in_one_line(self.grant)} into {self.file.shown}"


@dataclass(frozen=True)
class Onboarding:
    """What would be created. `exists` says that the same file exists already; `account_grants` are what its service
    account has to be allowed, granted where the operator says so."""

    tenant: Tenant
    file: TenantsFile
    content: bytes
    exists: bool
    lines: OperatorLines | None
    account_grants: tuple[AccountGrant, ...]
    schedules: tuple[PipelineSchedule, ...]
    estimates: tuple[StepEstimate, ...]

    @property
    def tables(self) -> tuple[tuple[TableRef, TableSchema], ...]:
        """The tenant's tables, then the ledger's, all in its dataset."""
        steps = [step for pipeline in self.tenant.pipelines for step in pipeline.steps]
        targets = [(target_table(self.tenant, step.table), table_schema(step.spec)) for step in steps]
        ledger = [(target_table(self.tenant, name), table.schema) for name, table in TABLES.items()]
        return (*targets, *ledger)

    @property
    def assets(self) -> tuple[str, ...]:
        """Their keys as `dagster asset materialize --select` takes them."""
        tenant = self.tenant
        return tuple(f"{tenant.tenant_id}/{p.name}/{s.table}" for p in tenant.pipelines for s in p.steps)

    def described(self) -> dict[str, Any]:
        """For machines: names, lists of names, and numbers."""
        tenant = self.tenant
        return {
            "tenant": tenant.tenant_id,
            "file": self.file.shown,
            "content": self.content.decode(),
            "stands": self.exists,
            "grants": dict(self.lines.grant) if self.lines else {},
            "account_grants": [grant.command for grant in self.account_grants],
            "dataset": tenant.dataset,
            "project": tenant.project,
            "location": tenant.location,
            "tables": [str(ref) for ref, _ in self.tables],
            "assets": list(self.assets),
            "schedules": [
                asdict(one) | {"first_day": str(one.first_day), "first_due_at": one.first_due_at.isoformat()}
                for one in self.schedules
            ],
            "bytes_a_day": self.bytes_a_day,
        }

    @property
    def bytes_a_day(self) -> int | None:
        """None where the warehouse reported none, or a source does not exist yet."""
        counted = [e.bytes_processed for e in self.estimates if e.bytes_processed is not None]
        return sum(counted) if counted else None


@dataclass(frozen=True)
class Onboarded:
    """What was done. `done` is empty where everything existed already; `secret` is that of a new key and is stored
    nowhere; `next_steps` are for the operator."""

    done: tuple[str, ...]
    secret: str | None
    next_steps: tuple[str, ...]


def files_of(settings: Settings, tenant_id: str) -> Files:
    """What a tenant's folder contains already. Raises `UnreadableFolder`."""
    return read_folder(settings.tenants).tenants.get(tenant_id, {})


def plan(
    requested: TenantSettings, settings: Settings, now: datetime, platform_account: str | None = None
) -> Onboarding:
    """What onboarding would do; nothing is changed. `platform_account` is the service account of the workers.

    Raises `OnboardingRefused`, `UnreadableFolder`, and `WarehouseError` where the warehouse cannot be queried.
    """
    folder = read_folder(settings.tenants)
    files, place = folder.tenants.get(requested.tenant_id, {}), f"{settings.tenants.rstrip('/')}/{requested.tenant_id}"
    raw = files.get(TENANT_FILE)
    if raw is not None:
        _refuse_another(requested, f"{place}/{TENANT_FILE}", raw)
    elif absent := onboarding_request.missing(requested, files):
        raise OnboardingRefused([f"{name} is missing" for name in absent], "say it")
    content = raw if raw is not None else onboarding_request.rendered(requested).encode()
    tenant, grant = _checked(requested, content, settings, folder, now)
    with tempfile.TemporaryDirectory(prefix="convergence-plan-") as scratch:
        # In a temporary home: a plan stores nothing and creates no dataset. As the caller: the tenant's own account may
        # not exist yet.
        as_caller = replace(tenant, service_account=None, reads_views=False)
        estimates = dry_run([as_caller], replace(settings, home=Path(scratch)), now=now, progress=lambda: None)
    wrong = [estimate.problem.render() for estimate in estimates if estimate.problem]
    if wrong:
        raise OnboardingRefused(wrong, "correct the query or what it reads, then the same command")
    file, lines = TenantsFile(settings.tenants, f"{tenant.tenant_id}/{TENANT_FILE}"), _lines(settings, folder, grant)
    account = tuple(account_grants(tenant, settings.project, platform_account)) if settings.project else ()
    return Onboarding(tenant, file, content, raw is not None, lines, account, _schedules(tenant, now), tuple(estimates))


def _refuse_another(requested: TenantSettings, file: str, raw: bytes) -> None:
    existing, problems = onboarding_request.parse_tenant_file(file, raw)
    if existing is None:
        messages = [problem.render() for problem in problems]
        raise TenantExists(messages, f"correct {file}; `convergence validate` checks it")
    different = onboarding_request.differences(existing, requested)
    if different:
        raise TenantExists(
            [f"tenant {requested.tenant_id} is there with other settings", *different],
            f"edit {file}, or leave out what differs; `convergence tenants show {requested.tenant_id}` shows it",
        )


def _lines(settings: Settings, folder: Folder, grant: Grant) -> OperatorLines | None:
    file, before = TenantsFile(settings.tenants, DEFAULTS_FILE), folder.beside[DEFAULTS_FILE]
    if not grant or is_written(before, grant):
        return None
    after = written(before, grant)
    if after is None:
        reason = f"{file.shown} needs {in_one_line(grant)}, and cannot be edited line by line"
        raise OnboardingRefused([reason], "write it there, then the same command")
    return OperatorLines(file, grant, before, after)


def _checked(
    requested: TenantSettings, content: bytes, settings: Settings, folder: Folder, now: datetime
) -> tuple[Tenant, Grant]:
    """The tenant, and what `_defaults.yaml` has to grant it in addition."""
    file = f"{settings.tenants.rstrip('/')}/{requested.tenant_id}/{TENANT_FILE}"
    files = folder.tenants.get(requested.tenant_id, {})
    with_it = replace(folder, tenants={**folder.tenants, requested.tenant_id: {**files, TENANT_FILE: content}})
    try:
        grant = onboarding_request.share_of(requested)
    except ValueError as error:
        raise OnboardingRefused([str(error)], "name one, or leave the share out") from None
    while True:
        registry = load_to_check(settings, with_it, now, grant)
        wrong = [problem.render() for problem in registry.problems if problem.file.endswith(f"/{DEFAULTS_FILE}")]
        if wrong:
            raise OnboardingRefused(wrong, f"correct {DEFAULTS_FILE}; `convergence validate` checks it")
        rejection = registry.rejected.get(requested.tenant_id)
        problems = rejection.problems if rejection else ()
        if not problems:
            break
        # What the command itself requests is the operator's decision; what is in the folder already is not.
        new = TENANT_FILE not in files
        grants = [p.grant for p in problems if p.grant and p.file == file and new and "access" not in p.grant]
        if len(grants) < len(problems) or merged([grant, *grants]) == grant:
            raise OnboardingRefused([problem.render() for problem in problems], "correct it, then the same command")
        grant = merged([grant, *grants])
    if others := set(registry.rejected) - set(load_to_check(settings, folder, now, {}).rejected):
        displaced = [problem.render() for other in sorted(others) for problem in registry.rejected[other].problems]
        raise OnboardingRefused(displaced, "choose another dataset or source, then the same command")
    return registry.tenants[requested.tenant_id], grant


def _schedules(tenant: Tenant, now: datetime) -> tuple[PipelineSchedule, ...]:
    return tuple(
        PipelineSchedule(
            target.pipeline,
            target.cron,
            target.timezone,
            target.start_date,
            target.due_at(target.start_date),
            max((target.due_through(now) - target.start_date).days + 1, 0),
        )
        for target in targets_of([tenant])
    )

"""A new tenant: what its onboarding would make, made step by step, and taken back where a step fails."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from convergence_assets.assets.dry_run import StepEstimate, dry_run
from convergence_assets.assets.opening import open_warehouse
from convergence_assets.assets.translation import table_schema, target_table
from convergence_assets.control import audit
from convergence_assets.control.audit import Deed
from convergence_assets.control.errors import ControlError
from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.tables import TABLES
from convergence_assets.operations.code_location import reloaded
from convergence_assets.pipelines.checking import check
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.scheduling.targets import targets_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy import onboarding
from convergence_assets.tenancy.folder import Files, Folder, read_folder
from convergence_assets.tenancy.model import Tenant
from convergence_assets.tenancy.models import Defaults
from convergence_assets.tenancy.onboarding import TENANT_FILE, Wanted
from convergence_assets.tenancy.onboarding_files import Occupied, ReadOnlyPlace, TenantFile
from convergence_assets.tenancy.registry import DEFAULTS_FILE, load_registry
from convergence_assets.warehouse.schema import Dataset, TableRef, TableSchema


class OnboardingRefused(Exception):
    """What is wanted cannot be made, and nothing was changed; `reasons` are all of them, `next_step` what to do."""

    def __init__(self, reasons: Sequence[str], next_step: str) -> None:
        super().__init__(f"{'; '.join(reasons)}. Next: {next_step}")
        self.reasons = tuple(reasons)
        self.next_step = next_step


class OnboardingFailed(Exception):
    """A step failed: `undone` is what was taken back, `left` what could not be, each with what to do about it."""

    def __init__(self, step: str, error: Exception, undone: Sequence[str], left: Sequence[str]) -> None:
        kind = getattr(error, "error_class", type(error).__name__)
        super().__init__(f"{step} failed ({kind}): {error}")
        self.step = step
        self.undone = tuple(undone)
        self.left = tuple(left)


@dataclass(frozen=True)
class Asked:
    """When a pipeline's days are asked for: the first one becomes due at `first_due_at` (UTC), and `due` of them are
    due already."""

    pipeline: str
    schedule: str
    timezone: str
    first_day: date
    first_due_at: datetime
    due: int


@dataclass(frozen=True)
class Onboarding:
    """What would be made. `stands` says that the file is there already and says the same."""

    tenant: Tenant
    file: TenantFile
    content: bytes
    stands: bool
    asked: tuple[Asked, ...]
    estimates: tuple[StepEstimate, ...]

    @property
    def tables(self) -> tuple[tuple[TableRef, TableSchema], ...]:
        """The tenant's tables, then the ledger's, all in its dataset."""
        steps = [step for pipeline in self.tenant.pipelines for step in pipeline.steps]
        own = [(target_table(self.tenant, step.table), table_schema(step.spec)) for step in steps]
        ledger = [(target_table(self.tenant, name), table.schema) for name, table in TABLES.items()]
        return (*own, *ledger)

    @property
    def assets(self) -> tuple[str, ...]:
        """Their keys as `dagster asset materialize --select` takes them."""
        tenant = self.tenant
        return tuple(f"{tenant.tenant_id}/{p.name}/{s.table}" for p in tenant.pipelines for s in p.steps)

    @property
    def bytes_a_day(self) -> int | None:
        """None where the warehouse counted none, or a source is not there yet."""
        counted = [e.bytes_processed for e in self.estimates if e.bytes_processed is not None]
        return sum(counted) if counted else None


@dataclass(frozen=True)
class Onboarded:
    """What was done. `done` is empty where all stood already; `secret` is a new key and is kept nowhere; `next_steps`
    are for whoever onboarded."""

    done: tuple[str, ...]
    secret: str | None
    next_steps: tuple[str, ...]


def files_of(settings: Settings, tenant_id: str) -> Files:
    """What a tenant's folder holds already. Raises `UnreadableFolder`."""
    return read_folder(settings.tenants).tenants.get(tenant_id, {})


def plan(wanted: Wanted, settings: Settings, now: datetime) -> Onboarding:
    """What onboarding would do; nothing is changed.

    Raises `OnboardingRefused`, `UnreadableFolder`, and `WarehouseError` where the warehouse cannot be asked.
    """
    folder = read_folder(settings.tenants)
    files, place = folder.tenants.get(wanted.tenant_id, {}), f"{settings.tenants.rstrip('/')}/{wanted.tenant_id}"
    raw = files.get(TENANT_FILE)
    if raw is not None:
        _refuse_another(wanted, f"{place}/{TENANT_FILE}", raw)
    elif absent := onboarding.missing(wanted, files):
        raise OnboardingRefused([f"{name} is missing" for name in absent], "say it")
    content = raw if raw is not None else onboarding.rendered(wanted).encode()
    tenant = _checked(wanted, content, settings, folder, now)
    with tempfile.TemporaryDirectory(prefix="convergence-plan-") as scratch:
        # Of its own home: what a plan has looked at is not remembered, and no dataset is made.
        estimates = dry_run([tenant], replace(settings, home=Path(scratch)), now=now, progress=lambda: None)
    wrong = [estimate.problem.render() for estimate in estimates if estimate.problem]
    if wrong:
        raise OnboardingRefused(wrong, "correct the query or what it reads, then the same command")
    file = TenantFile(settings.tenants, tenant.tenant_id)
    return Onboarding(tenant, file, content, raw is not None, _asked(tenant, now), tuple(estimates))


def apply(planned: Onboarding, settings: Settings, created_by: str, tell: Callable[[str], None]) -> Onboarded:
    """Make what was planned and is not there yet; `tell` hears of each step that changed something.

    Raises `ReadOnlyPlace` where the file has to be brought there by other means (nothing was changed),
    `OnboardingRefused` where somebody else was first, and `OnboardingFailed` after taking back what was made.
    """
    making = _Making(planned, settings, created_by, tell)
    try:
        making.file()
        making.tables()
        secret = making.key()
        making.noted()
    except (ReadOnlyPlace, OnboardingRefused):
        raise
    except Exception as error:
        raise OnboardingFailed(making.step, error, *making.undo()) from error
    except BaseException:  # Ctrl-C
        undone, left = making.undo()
        for said in (*undone, *(f"left {what}" for what in left)):
            tell(said)
        raise
    return Onboarded(tuple(making.done), secret, tuple(making.next_steps()))


class _Making:
    """The steps of one onboarding, and what each of them made."""

    def __init__(self, planned: Onboarding, settings: Settings, created_by: str, tell: Callable[[str], None]) -> None:
        self.step = ""
        self.done: list[str] = []
        self._planned = planned
        self._settings = settings
        self._created_by = created_by
        self._tell = tell
        self._wrote_file = False
        self._made: list[TableRef] = []
        self._key_id: str | None = None

    def file(self) -> None:
        self.step = f"writing {self._planned.file.shown}"
        if self._planned.stands:
            return
        try:
            self._planned.file.create(self._planned.content)
        except Occupied as error:
            raise OnboardingRefused(
                [f"{self._planned.file.shown} {error.strerror}"], "look at it, then the same command"
            ) from error
        self._wrote_file = True
        self._did(f"wrote {self._planned.file.shown}")

    def tables(self) -> None:
        tenant = self._planned.tenant
        self.step = f"making tables in dataset {tenant.dataset}"
        with open_warehouse(self._settings, tenant.location) as warehouse:
            for table, schema in self._planned.tables:
                self.step = f"making table {table}"
                change = warehouse.ensure_table(table, schema)
                if change.created:
                    self._made.append(table)
                    self._did(f"made table {table}")
                elif change.added:
                    self._did(f"added to table {table}: {', '.join(change.added)}")

    def key(self) -> str | None:
        """The secret of the tenant's first key; None where it has one, or where all stood already and its keys were
        revoked on purpose."""
        tenant_id = self._planned.tenant.tenant_id
        self.step = f"making an API key for {tenant_id}"
        keys = Keys(ControlStore.open(self._settings))
        known = keys.all(tenant_id)
        if any(key.revoked_at is None for key in known) or (known and not self.done):
            return None
        made = keys.create(tenant_id, self._created_by)
        self._key_id = made.key_id
        self._did(f"made API key {made.key_id}, valid until {made.expires_at:%Y-%m-%d}")
        return made.secret

    def noted(self) -> None:
        """Write into the audit log who onboarded."""
        self.step = "writing the audit log"
        if self.done:
            store, tenant_id = ControlStore.open(self._settings), self._planned.tenant.tenant_id
            with store.write() as connection:
                audit.note(connection, Deed(self._created_by, "tenant.onboard", "done", tenant_id), store.now())

    def undo(self) -> tuple[list[str], list[str]]:
        """What was taken back and what is left, in words."""
        undone: list[str] = []
        left: list[str] = []
        if self._made:
            names = ", ".join(map(str, self._made))
            left.append(f"empty tables, which the same command takes up again: {names}; to be rid of them: "
                        + dropping(self._settings, self._made))  # fmt: skip
        if self._key_id:
            try:
                Keys(ControlStore.open(self._settings)).revoke(self._key_id, self._created_by)
                undone.append(f"revoked API key {self._key_id}")
            except ControlError as error:
                left.append(f"API key {self._key_id} ({error}): convergence keys revoke {self._key_id}")
        if self._wrote_file:
            file = self._planned.file
            try:
                file.remove(self._planned.content)
                undone.append(f"removed {file.shown}")
            except OSError as error:
                left.append(f"{file.shown}, which cannot be removed ({error}): remove it")
        return undone, left

    def next_steps(self) -> list[str]:
        """What is left to do for whoever onboarded, after the code location was loaded anew where that can be done."""
        tenant = self._planned.tenant
        found: list[str] = []
        if self.done:
            done, next_step = reloaded(self._settings, tenant)
            found += [next_step] if next_step else []
            if done:
                self._did(done)
        if self._settings.warehouse == "embedded":
            found += [
                f"bring what it reads: convergence load {tenant.tenant_id} {pipeline.name} {name} FILES"
                for pipeline in tenant.pipelines
                for name in sorted({source for step in pipeline.steps for source in step.sources})
            ]
        first = tenant.pipelines[0]
        found.append(f"run a day: convergence run {tenant.tenant_id} {first.name} --partition {first.start_date}")
        return found

    def _did(self, what: str) -> None:
        self.done.append(what)
        self._tell(what)


def dropping(settings: Settings, tables: Sequence[TableRef]) -> str:
    """The statements that remove tables of one dataset, for a person to run: this platform drops no published table."""
    if settings.warehouse == "bigquery":
        return " ".join(f"DROP TABLE {replace(t, project=t.project or settings.project).quoted};" for t in tables)
    # The embedded engine's file is its dataset, and DuckDB's own command line opens it while nothing else does.
    drops = " ".join(f'DROP TABLE "{table.table}";' for table in tables)
    return f"duckdb {dataset_file(settings, tables[0])} '{drops}'"


def dataset_file(settings: Settings, table: TableRef) -> Path:
    """Where the embedded engine keeps the dataset of a table."""
    from convergence_assets.warehouse.duckdb.files import Layout

    return Layout(settings.warehouse_folder).dataset_file(Dataset.of(table))


def _refuse_another(wanted: Wanted, file: str, raw: bytes) -> None:
    stands, problems = onboarding.standing(file, raw)
    if stands is None:
        said = [problem.render() for problem in problems]
        raise OnboardingRefused(said, f"correct {file}; `convergence validate` checks it")
    different = onboarding.differences(stands, wanted)
    if different:
        raise OnboardingRefused(
            [f"tenant {wanted.tenant_id} is there with other settings", *different],
            f"edit {file}, or leave out what differs; `convergence tenants show {wanted.tenant_id}` shows it",
        )


def _checked(wanted: Wanted, content: bytes, settings: Settings, folder: Folder, now: datetime) -> Tenant:
    today, shown = now.astimezone(UTC).date(), settings.tenants.rstrip("/")
    # Named one by one, so that nothing is accepted by looking.
    registry = load_registry(settings.tenants, settings.accepted_tenants, today=today, only=list(folder.tenants))
    raw = folder.beside.get(DEFAULTS_FILE)
    defaults = check(read_yaml(f"{shown}/{DEFAULTS_FILE}", raw), Defaults)[0] if raw is not None else None
    if defaults is None:
        said = [problem.render() for problem in registry.problems]
        raise OnboardingRefused(said, f"correct {shown}/{DEFAULTS_FILE}; `convergence validate` checks it")
    tenant, problems = onboarding.checked(
        wanted,
        content,
        f"{shown}/{wanted.tenant_id}",
        folder.tenants.get(wanted.tenant_id, {}),
        defaults,
        registry.tenants.values(),
        today,
    )
    problems += folder.unreadable.get(wanted.tenant_id, [])
    if tenant is None or problems:
        raise OnboardingRefused([problem.render() for problem in problems], "correct it, then the same command")
    return tenant


def _asked(tenant: Tenant, now: datetime) -> tuple[Asked, ...]:
    return tuple(
        Asked(
            target.pipeline,
            target.cron,
            target.timezone,
            target.start_date,
            target.due_at(target.start_date),
            max((target.due_through(now) - target.start_date).days + 1, 0),
        )
        for target in targets_of([tenant])
    )

"""Creates a planned tenant step by step, and undoes that where a step fails."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from convergence_assets.assets.warehouse_factory import open_bigquery, open_warehouse
from convergence_assets.control import audit
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.errors import ControlError
from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings
from convergence_assets.tenancy.grants import in_one_line
from convergence_assets.tenant_lifecycle.code_location import reloaded
from convergence_assets.tenant_lifecycle.granting import Granting, open_iam
from convergence_assets.tenant_lifecycle.onboarding import Onboarded, Onboarding, OnboardingFailed, TenantExists
from convergence_assets.tenant_lifecycle.onboarding_files import Occupied, ReadOnlyPlace
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.schema import Dataset, TableRef

UNDOING_SECONDS = 30.0
"""How long dropping a table is retried where the warehouse refuses; that may be why the step failed."""


def apply(
    planned: Onboarding,
    settings: Settings,
    created_by: str,
    tell: Callable[[str], None],
    address: str | None = None,
    *,
    grants: bool = False,
) -> Onboarded:
    """Create what was planned and is missing; `tell` is called for each step that changed something.

    `created_by` and `address` are for the audit log; `grants` says whether its service account also gets its grants,
    which this process's account must be allowed to make. Raises `ReadOnlyPlace` where the file has to be deployed by
    other means (nothing was changed), `TenantExists` where another command was first, and `OnboardingFailed` after
    undoing what was done.
    """
    creation = _Creation(planned, settings, AuditEntry(created_by, "tenant.onboard", "done", address=address), tell)
    try:
        creation.lines()
        creation.file()
        creation.tables()
        if grants:
            creation.grants()
        secret = creation.key()
        creation.noted()
    except (ReadOnlyPlace, TenantExists):
        creation.undo_lines([], [])
        raise
    except Exception as error:
        raise OnboardingFailed(creation.step, error, *creation.undo()) from error
    except BaseException:  # Ctrl-C
        undone, left = creation.undo()
        for line in (*undone, *(f"left {what}" for what in left)):
            tell(line)
        raise
    return Onboarded(tuple(creation.done), secret, tuple(creation.next_steps()))


class _Creation:
    """The steps of one onboarding, and what each of them created."""

    def __init__(self, planned: Onboarding, settings: Settings, entry: AuditEntry, tell: Callable[[str], None]) -> None:
        tenant = planned.tenant
        self.step = ""
        self.done: list[str] = []
        self._planned = planned
        self._settings = settings
        self._entry = replace(entry, tenant_id=tenant.tenant_id)
        self._tell = tell
        self._dataset = Dataset(tenant.dataset, tenant.project)
        self._wrote_file = False
        self._wrote_lines = False
        self._created: list[TableRef] = []
        self._changed: list[str] = []
        self._makes_dataset = False
        self._granted: list[str] = []
        self._key_id: str | None = None

    def lines(self) -> None:
        """The operator's lines, first of all: without them the tenant's file is refused."""
        lines = self._planned.lines
        if lines is None:
            return
        self.step = f"writing {lines.file.shown}"
        try:
            lines.file.replace(lines.before, lines.after)
        except Occupied as error:
            raise TenantExists([f"{lines.file.shown} {error.strerror}"], "the same command again") from error
        self._wrote_lines = True
        self._report(f"wrote into {lines.file.shown}: {in_one_line(lines.grant)}")

    def file(self) -> None:
        self.step = f"writing {self._planned.file.shown}"
        if self._planned.exists:
            return
        try:
            self._planned.file.create(self._planned.content)
        except Occupied as error:
            raise TenantExists(
                [f"{self._planned.file.shown} {error.strerror}"], "look at it, then the same command"
            ) from error
        self._wrote_file = True
        self._report(f"wrote {self._planned.file.shown}")

    def tables(self) -> None:
        self.step = f"making tables in dataset {self._dataset}"
        with open_warehouse(self._settings, self._planned.tenant.location) as warehouse:
            self._makes_dataset = not warehouse.has_dataset(self._dataset)
            for table, schema in self._planned.tables:
                self.step = f"making table {table}"
                change = warehouse.ensure_table(table, schema)
                if change.created:
                    self._created.append(table)
                    self._report(f"made table {table}")
                elif change.added:
                    self._changed.append(f"{', '.join(change.added)} in table {table}")
                    self._report(f"added to table {table}: {', '.join(change.added)}")

    def grants(self) -> None:
        """The grants of its service account on Google Cloud; granting again changes nothing."""
        self.step = f"opening BigQuery to allow {self._planned.tenant.service_account} what it needs"
        with open_bigquery(self._settings, self._planned.tenant.location) as warehouse:
            granting = Granting(warehouse, open_iam(warehouse))
            for grant in self._planned.account_grants:
                self.step = grant.command
                if done := granting.give(grant):
                    self._granted.append(done)
                    self._report(done)
            self.step = "removing old views"
            if done := granting.drop_old_views(self._planned.tenant):
                self._report(done)

    def key(self) -> str | None:
        """The secret of the tenant's first key; None where it has one, or where everything existed already and its keys
        were revoked on purpose."""
        tenant_id = self._planned.tenant.tenant_id
        self.step = f"making an API key for {tenant_id}"
        keys = Keys(ControlStore.open(self._settings))
        existing = keys.all(tenant_id)
        if any(key.revoked_at is None for key in existing) or (existing and not self.done):
            return None
        created = keys.create(tenant_id, self._entry.actor, address=self._entry.address)
        self._key_id = created.key_id
        self._report(f"made API key {created.key_id}, valid until {created.expires_at:%Y-%m-%d}")
        return created.secret

    def noted(self) -> None:
        """Record in the audit log who onboarded."""
        self.step = "writing the audit log"
        if self.done:
            self._record_entry("done")

    def undo(self) -> tuple[list[str], list[str]]:
        """What was undone and what is left, in words."""
        undone: list[str] = []
        left: list[str] = []
        if self._wrote_file:  # first of all: while it exists, its days are requested
            file = self._planned.file
            try:
                file.remove(self._planned.content)
                undone.append(f"removed {file.shown}")
            except OSError as error:
                left.append(f"{file.shown}, which cannot be removed ({error}): remove it")
        self.undo_lines(undone, left)
        if self._key_id:
            try:
                Keys(ControlStore.open(self._settings)).revoke(self._key_id, self._entry.actor)
                undone.append(f"revoked API key {self._key_id}")
            except ControlError as error:
                left.append(f"API key {self._key_id} ({error}): convergence keys revoke {self._key_id}")
        if self._created or self._makes_dataset:
            self._drop(undone, left)
        if self._granted:
            left.append(
                f"what its service account was allowed ({'; '.join(self._granted)}), which the same command finds again"
            )
        left += [f"columns {changed}, which stood before" for changed in self._changed]
        with suppress(Exception):  # the store may be why the step failed; what was undone is reported all the same
            self._record_entry(f"failed: {self.step}")
        return undone, left

    def undo_lines(self, undone: list[str], left: list[str]) -> None:
        """Remove the operator's lines again, unless their file was changed in between."""
        lines = self._planned.lines
        if not self._wrote_lines or lines is None:
            return
        try:
            lines.file.replace(lines.after, lines.before)
            undone.append(f"took {in_one_line(lines.grant)} out of {lines.file.shown}")
        except OSError as error:
            left.append(f"{in_one_line(lines.grant)} in {lines.file.shown} ({error.strerror}): take it out")

    def next_steps(self) -> list[str]:
        """What is left for the operator to do, after reloading the code location where possible."""
        tenant = self._planned.tenant
        steps: list[str] = []
        if self.done:
            done, next_step = reloaded(self._settings, tenant)
            steps += [next_step] if next_step else []
            if done:
                self._report(done)
        if self._settings.warehouse == "embedded":
            steps += [
                f"bring what it reads: convergence load {tenant.tenant_id} {pipeline.name} {name} FILES"
                for pipeline in tenant.pipelines
                for name in sorted({source for step in pipeline.steps for source in step.sources})
            ]
        if not self._granted:
            steps += [f"allow its service account: {grant.command}" for grant in self._planned.account_grants]
        first = tenant.pipelines[0]
        steps.append(f"run a day: convergence run {tenant.tenant_id} {first.name} --partition {first.start_date}")
        return steps

    def _drop(self, undone: list[str], left: list[str]) -> None:
        """Drop the created tables that are still empty, and the dataset if it was created with them."""
        there, why = set(self._created), "hold rows by now"
        try:
            with open_warehouse(
                self._settings, self._planned.tenant.location, budget_seconds=UNDOING_SECONDS
            ) as warehouse:
                for table in self._created:
                    warehouse.drop_table(table, if_empty=True)
                there &= set(warehouse.tables_of(self._dataset))
                dropped = self._makes_dataset and warehouse.drop_dataset(self._dataset)
        except (WarehouseError, OSError) as error:
            why, dropped = f"could not be dropped ({error})", False
        if gone := [str(table) for table in self._created if table not in there]:
            undone.append(f"dropped tables {', '.join(gone)}")
        if dropped:
            undone.append(f"dropped dataset {self._dataset}")
        if remaining := [table for table in self._created if table in there]:
            left.append(
                f"tables {', '.join(map(str, remaining))}, which {why} and which the same command takes up again; "
                f"to be rid of them: {_dropping(self._settings, remaining)}"
            )

    def _record_entry(self, outcome: str) -> None:
        store = ControlStore.open(self._settings)
        with store.write() as connection:
            audit.record_entry(connection, replace(self._entry, outcome=outcome), store.now())

    def _report(self, what: str) -> None:
        self.done.append(what)
        self._tell(what)


def _dropping(settings: Settings, tables: Sequence[TableRef]) -> str:
    """The statements that remove tables of one dataset, for a person to run."""
    if settings.warehouse == "bigquery":
        return " ".join(f"DROP TABLE {replace(t, project=t.project or settings.project).quoted};" for t in tables)
    # The embedded engine's file is its dataset, and DuckDB's command line opens it only if nothing else does.
    drops = " ".join(f'DROP TABLE "{table.table}";' for table in tables)
    return f"duckdb {_dataset_file(settings, tables[0])} '{drops}'"


def _dataset_file(settings: Settings, table: TableRef) -> Path:
    from convergence_assets.warehouse.duckdb.files import Layout

    return Layout(settings.warehouse_folder).dataset_file(Dataset.of(table))

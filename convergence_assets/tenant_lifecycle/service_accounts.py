"""The grants of a tenant's service account on Google Cloud, each as a command that an operator can run."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from convergence_assets.assets.schema_mapping import shared_views, target_table
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.interface import STAGING_KEPT_DAYS
from convergence_assets.warehouse.schema import SHARED_PREFIX, STAGING_PREFIX, Dataset, TableRef

PLATFORM = "THE_ACCOUNT_OF_THE_PLATFORM"
"""The placeholder that the operator replaces by his own account."""


@dataclass(frozen=True)
class NewAccount:
    """The service account itself."""

    account: str

    @property
    def project(self) -> str:
        return self.account.partition("@")[2].partition(".")[0]

    @property
    def command(self) -> str:
        name = self.account.partition("@")[0]
        return _command("gcloud", "iam", "service-accounts", "create", name, f"--project={self.project}")


@dataclass(frozen=True)
class Impersonation:
    """The platform's account (None: unknown) may send statements as the tenant's."""

    account: str
    platform: str | None

    @property
    def command(self) -> str:
        return _command(
            "gcloud", "iam", "service-accounts", "add-iam-policy-binding", self.account,
            f"--member=serviceAccount:{self.platform or PLATFORM}", "--role=roles/iam.serviceAccountTokenCreator",
        )  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A statement of BigQuery's own: a dataset, or a role on a dataset or project."""

    sql: str
    project: str
    location: str | None

    @property
    def command(self) -> str:
        location = [f"--location={self.location}"] if self.location else []
        return _command("bq", "query", "--use_legacy_sql=false", f"--project_id={self.project}", *location, self.sql)


@dataclass(frozen=True)
class SourceReader:
    """The account may read one source table, which may be a view or an external table too."""

    table: TableRef
    account: str
    project: str
    location: str | None

    def sql(self, kind: str) -> str:
        """`kind` is TABLE, VIEW or EXTERNAL TABLE."""
        return _grant("bigquery.dataViewer", f"{kind} {self.table.quoted}", self.account)

    @property
    def command(self) -> str:
        return Statement(self.sql("TABLE"), self.project, self.location).command


@dataclass(frozen=True)
class AuthorizedViews:
    """The views of a tenant's rows may read the dataset of their source, whoever queries them."""

    source: Dataset
    views: Dataset

    @property
    def command(self) -> str:
        access = json.dumps(self.access)
        source = shlex.quote(f"{self.source.project}:{self.source.name}")
        edit = shlex.quote(f".access += [{access}]")
        return f"bq show --format=json {source} | jq {edit} > dataset.json && bq update --source=dataset.json {source}"

    @property
    def access(self) -> dict[str, object]:
        """BigQuery's form: https://cloud.google.com/bigquery/docs/authorized-datasets."""
        views = {"projectId": self.views.project, "datasetId": self.views.name}
        return {"dataset": {"dataset": views, "targetTypes": ["VIEWS"]}}


AccountGrant = NewAccount | Impersonation | Statement | SourceReader | AuthorizedViews


def account_grants(tenant: Tenant, project: str, platform: str | None = None) -> Iterator[AccountGrant]:
    """In the order in which they can be granted; none for a tenant whose statements run as the platform.

    `project` is the deployment's, `platform` the account that its workers run as.
    """
    account, location = tenant.service_account, tenant.location
    if account is None:
        return
    home = tenant.project or project
    yield NewAccount(account)
    yield Impersonation(account, platform)
    yield Statement(_grant("bigquery.jobUser", f"PROJECT `{home}`", account), home, location)
    target, views = f"`{home}.{tenant.dataset}`", Dataset(SHARED_PREFIX + tenant.dataset, home)
    staging = f"`{home}.{STAGING_PREFIX}{tenant.dataset}`"
    for dataset, options in ((target, ""), (staging, f" OPTIONS(default_table_expiration_days={STAGING_KEPT_DAYS})")):
        yield Statement(f"CREATE SCHEMA IF NOT EXISTS {dataset}{options}", home, location)
        yield Statement(_grant("bigquery.dataEditor", f"SCHEMA {dataset}", account), home, location)
    if tenant.reads_views:
        shared = f"`{views.project}.{views.name}`"
        yield Statement(f"CREATE SCHEMA IF NOT EXISTS {shared}", home, location)
        yield Statement(_grant("bigquery.dataViewer", f"SCHEMA {shared}", account), home, location)
        for source in dict.fromkeys(view.source for view in shared_views(tenant, tenant.sources)):
            yield AuthorizedViews(Dataset(source.dataset, source.project or project), views)
    for name in _tables_read(tenant):
        table = TableRef.parse(name)
        if table.prefix is not None:  # it reads tables that are created later
            read_from = f"`{table.project or project}.{table.dataset}`"
            yield Statement(_grant("bigquery.dataViewer", f"SCHEMA {read_from}", account), home, location)
            continue
        yield SourceReader(TableRef(table.dataset, table.table, table.project or project), account, home, location)


def _tables_read(tenant: Tenant) -> list[str]:
    """Source tables that are not the tenant's own, nor read by a view."""
    targets = {target_table(tenant, step.table).dataset for pipeline in tenant.pipelines for step in pipeline.steps}
    by_view = tenant.shares if tenant.reads_views else {}
    names = dict.fromkeys(name for source in tenant.sources for name in source.tables)
    return [name for name in names if TableRef.parse(name).dataset not in targets and name not in by_view]


def _grant(role: str, resource: str, account: str) -> str:
    return f'GRANT `roles/{role}` ON {resource} TO "serviceAccount:{account}"'


def _command(*words: str) -> str:
    return shlex.join(words)

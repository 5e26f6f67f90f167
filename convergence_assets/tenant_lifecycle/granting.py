"""Grants for tenants' service accounts, made by the account that runs the command."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergence_assets.assets.schema_mapping import shared_views
from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.tenant_lifecycle.google_iam import GoogleIam
from convergence_assets.tenant_lifecycle.service_accounts import (
    AccountGrant,
    AuthorizedViews,
    Impersonation,
    NewAccount,
    SourceReader,
    Statement,
)
from convergence_assets.warehouse.errors import AccessDenied
from convergence_assets.warehouse.schema import SHARED_PREFIX, Dataset

if TYPE_CHECKING:
    from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse


@dataclass(frozen=True)
class Granting:
    """Every method raises `WarehouseError`, may be repeated, and returns what it did in words, None where nothing was
    to do."""

    warehouse: "BigQueryWarehouse"
    iam: GoogleIam

    def give(self, grant: AccountGrant) -> str | None:
        granting = self.warehouse.granting
        match grant:
            case NewAccount():
                created = self.iam.create(grant.account, grant.project)
                return f"made service account {grant.account}" if created else None
            case Impersonation():
                if grant.platform is None:
                    raise AccessDenied("the account that the workers run as is not known: name it, --platform-account")
                new = self.iam.allow_acting_as(grant.account, grant.platform)
                return f"let {grant.platform} act as {grant.account}" if new else None
            case AuthorizedViews():
                new = granting.authorize(grant.source, grant.access)
                return f"let the views of {grant.views.name} read dataset {grant.source.name}" if new else None
            case SourceReader():
                sql = grant.sql(granting.kind(grant.table))
            case Statement():
                sql = grant.sql
        granting.run(sql)
        return f"ran {sql}"

    def drop_old_views(self, tenant: Tenant) -> str | None:
        """Remove views of rows that belonged to the tenant by an earlier share."""
        dataset = Dataset(SHARED_PREFIX + tenant.dataset, tenant.project)
        current = [view.view for view in shared_views(tenant, tenant.sources)]
        gone = self.warehouse.granting.drop_views(dataset, current)
        return f"dropped views {', '.join(map(str, gone))}" if gone else None


def why_not_applicable(settings: Settings) -> str | None:
    """Why no grants can be made here, None where they can."""
    if settings.warehouse != "bigquery":
        return "the embedded warehouse has no accounts"
    if settings.emulator:
        return "a local BigQuery server has no accounts"
    return None


def own_account(settings: Settings) -> str | None:
    """The service account that this process runs as, None for a person's credentials. Raises `AccessDenied`."""
    with open_bigquery(settings) as warehouse:
        return warehouse.account


def open_iam(warehouse: "BigQueryWarehouse") -> GoogleIam:
    """With the credentials of an open warehouse."""
    from google.auth.transport.requests import AuthorizedSession

    return GoogleIam(AuthorizedSession(warehouse.credentials))  # type: ignore[no-untyped-call]

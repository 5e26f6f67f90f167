"""What a tenant's service account has to be allowed on Google Cloud, as commands that an operator can run."""

import shlex
from collections.abc import Iterator

from convergence_assets.assets.translation import target_table
from convergence_assets.tenancy.model import Tenant
from convergence_assets.warehouse.schema import STAGING_PREFIX, TableRef

PLATFORM = "THE_ACCOUNT_OF_THE_PLATFORM"
"""What the operator puts his own account in place of."""


def account_grants(tenant: Tenant, project: str) -> Iterator[str]:
    """One command each; none for a tenant whose statements run as the platform. `project` is the deployment's."""
    account = tenant.service_account
    if account is None:
        return
    home, member = tenant.project or project, f"serviceAccount:{account}"
    name, _, domain = account.partition("@")
    yield _command("gcloud", "iam", "service-accounts", "create", name, f"--project={domain.partition('.')[0]}")
    yield _command(
        "gcloud", "iam", "service-accounts", "add-iam-policy-binding", account, f"--member=serviceAccount:{PLATFORM}",
        "--role=roles/iam.serviceAccountTokenCreator",
    )  # fmt: skip
    yield _command(
        "gcloud", "projects", "add-iam-policy-binding", home, f"--member={member}", "--role=roles/bigquery.jobUser"
    )
    for dataset in (tenant.dataset, f"{STAGING_PREFIX}{tenant.dataset}"):
        yield _binding(member, "roles/bigquery.dataEditor", f"{home}:{dataset}")
    for table in _sources(tenant):
        ref = TableRef.parse(table)
        yield _binding(member, "roles/bigquery.dataViewer", f"{ref.project or project}:{ref.dataset}.{ref.table}")


def _sources(tenant: Tenant) -> list[str]:
    own = {target_table(tenant, step.table).dataset for pipeline in tenant.pipelines for step in pipeline.steps}
    found = {
        name: None
        for pipeline in tenant.pipelines
        for step in pipeline.steps
        for source in step.sources.values()
        for name in source.tables
        if TableRef.parse(name).dataset not in own
    }
    return list(found)


def _binding(member: str, role: str, resource: str) -> str:
    return _command("bq", "add-iam-policy-binding", f"--member={member}", f"--role={role}", resource)


def _command(*words: str) -> str:
    return shlex.join(words)

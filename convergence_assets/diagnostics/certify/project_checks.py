"""The project itself: its permissions, its quota, what the tenants' queries read, and the jobs that are sent."""

from collections.abc import Iterator

from convergence_assets.assets.dry_run import StepEstimate, bytes_by_tenant, dry_run
from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.diagnostics.certify.project import ProjectSetup
from convergence_assets.diagnostics.certify.services import GoogleProject
from convergence_assets.diagnostics.doctor.examine import Finding, broken
from convergence_assets.warehouse.errors import AccessDenied, QuotaExceeded, RateLimited, WarehouseError
from convergence_assets.warehouse.interface import GIGABYTE, Job
from convergence_assets.warehouse.schema import Dataset, Query

_JOB = Job("certify", {"pipeline": "certify", "asset": "certify"}, timeout_seconds=30.0)
_NEEDED = {
    "bigquery.jobs.create": "roles/bigquery.jobUser",
    "bigquery.jobs.listAll": "roles/bigquery.resourceViewer",
    "bigquery.readsessions.create": "roles/bigquery.readSessionUser",
}
"""By permission a role that has it: jobs, finding stuck ones of other accounts, reading rows as Arrow."""
_MAKES_DATASETS = {"bigquery.datasets.create": "roles/bigquery.user"}


def permissions(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether each account has what it needs on the project itself."""
    name, wrong = "project permissions", 0
    makes = any(setup.dataset(Dataset(t.dataset, t.project)) is None for t in setup.tenants)
    of_tenants = {permission: role for permission, role in _NEEDED.items() if permission != "bigquery.jobs.listAll"}
    accounts: dict[str | None, dict[str, str]] = {t.service_account: of_tenants for t in setup.tenants}
    accounts[None] = _NEEDED | (_MAKES_DATASETS if makes else {})
    for account, needed in accounts.items():
        try:
            missing = _google(setup, account).missing_permissions(list(needed))
        except AccessDenied as error:
            wrong += 1
            yield Finding(name, "warning", f"cannot be asked: {error}",
                          "`gcloud services enable cloudresourcemanager.googleapis.com`, then again")  # fmt: skip
            continue
        if missing is None:
            yield Finding(name, "ok", f"the server at {setup.settings.emulator} has none")
            return
        who = account or setup.warehouse.account or "this account"
        for permission in missing:
            wrong += 1
            project, member = setup.warehouse.project, account or setup.warehouse.account or "ACCOUNT"
            step = (
                f"`gcloud projects add-iam-policy-binding {project} --member=serviceAccount:{member} "
                f"--role={needed[permission]}`"
            )
            yield Finding(name, "broken", f"{who} lacks {permission} in project {project}", step)
    if not wrong:
        yield Finding(name, "ok", f"{len(accounts)} accounts have what they need in project {setup.warehouse.project}")


def _google(setup: ProjectSetup, account: str | None) -> GoogleProject:
    from google.auth.transport.requests import AuthorizedSession

    warehouse = open_bigquery(setup.settings, service_account=account)
    session = AuthorizedSession(warehouse.credentials)  # type: ignore[no-untyped-call]
    return GoogleProject(session, warehouse.project, setup.settings.emulator)


def queries(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether every query of every tenant would run for yesterday, within its pipeline's bytes (dry runs: no cost)."""
    name, wrong = "queries", 0
    estimates = dry_run(setup.tenants, setup.settings, now=setup.now(), progress=lambda: None)
    caps = {(t.tenant_id, p.name): p.maximum_gigabytes_billed * GIGABYTE for t in setup.tenants for p in t.pipelines}
    for estimate in estimates:
        where = f"{estimate.tenant_id}, pipeline {estimate.pipeline}, table {estimate.table}"
        if estimate.problem:
            wrong += 1
            seen, _, step = estimate.problem.message.partition(". Next: ")
            yield Finding(name, "broken", f"{where}: {seen}", step or "correct what it names")
        elif (read := estimate.bytes_processed or 0) > (cap := caps[estimate.tenant_id, estimate.pipeline]):
            wrong += 1
            seen = f"{where}: a day reads {read / GIGABYTE:.1f} GB, and the pipeline's cap is {cap / GIGABYTE:.0f}"
            yield Finding(name, "broken", seen, "filter on the partition column, or raise maximum_gigabytes_billed")
    if not wrong:
        yield Finding(name, "ok", f"{len(estimates)} queries would run; a day of all reads {_read(estimates)}")


def _read(estimates: list[StepEstimate]) -> str:
    return f"{sum(bytes_by_tenant(estimates).values()) / GIGABYTE:.3f} GB"


def quota(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether the project's quota of query bytes lets a day of all tenants through, and a job now."""
    name = "quota"
    try:
        setup.warehouse.read(Query("SELECT 1 AS one"), _JOB)
    except (QuotaExceeded, RateLimited) as error:
        yield broken(name, error)
        return
    try:
        allowed = _google(setup, None).query_bytes_per_day()
    except AccessDenied as error:
        step = (
            "give the account roles/servicemanagement.quotaViewer, and `gcloud services enable "
            "serviceusage.googleapis.com`"
        )
        yield Finding(name, "warning", f"cannot be asked: {error}", step)
        return
    if allowed is None:
        yield Finding(name, "ok", "a job is taken, and query bytes have no limit a day")
        return
    estimates = dry_run(setup.tenants, setup.settings, now=setup.now(), progress=lambda: None)
    needed = sum(bytes_by_tenant(estimates).values())
    seen = f"QueryUsagePerDay allows {allowed / GIGABYTE:.1f} GB, and a day of all tenants reads {_read(estimates)}"
    if needed > allowed:
        yield Finding(name, "broken", seen, "raise it under IAM & Admin, Quotas (BigQuery API, Query usage per day)")
    else:
        yield Finding(name, "ok", seen)


def jobs(setup: ProjectSetup) -> Iterator[Finding]:
    """Whether jobs carry our labels, and whether those of every account can be found (a stuck one is cancelled so)."""
    name, warehouse = "jobs", setup.warehouse
    warehouse.read(Query("SELECT 1 AS one"), _JOB)
    labels = warehouse.administration.labels_of_job(warehouse.statements[-1].job_id)
    missing = {"managed_by", "pipeline"} - set(labels)
    if missing:
        seen = f"a job that was sent with labels has lost {', '.join(sorted(missing))}: costs and stuck jobs go by them"
        yield Finding(name, "broken", seen, "see what lies between this process and BigQuery (a proxy, a policy)")
    try:
        running = warehouse.running_jobs()
    except WarehouseError as error:
        step = "grant roles/bigquery.resourceViewer: the jobs of a stuck run are found by it"
        yield Finding(name, "broken", f"jobs of other accounts cannot be listed: {error}", step)
        return
    if not missing:
        yield Finding(name, "ok", f"jobs carry our labels; {len(running)} of this platform run now")

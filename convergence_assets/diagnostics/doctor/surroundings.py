"""The platform's surroundings: the warehouse, Google's credentials, the disk, the clock, the API's port."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from convergence_assets.assets.schema_mapping import shared_views
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.errors import ControlError
from convergence_assets.dagster_internals import automation_states
from convergence_assets.diagnostics.doctor.examine import Finding, Setup, broken
from convergence_assets.settings import Settings, SettingsError
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import AccessDenied, InvalidQuery, NotFound, QuotaExceeded, WarehouseError
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Dataset, Query, TableRef

_JOB = Job("doctor", {"pipeline": "doctor", "asset": "doctor"}, timeout_seconds=10.0)
_TENANTS_ASKED = 50
_GIGABYTES_COUNTED = 10
_GRANTS = "`convergence tenants onboard {} --apply-grants` gives what it needs"
_ROLES = "roles/bigquery.jobUser and roles/bigquery.dataEditor in the project, roles/bigquery.dataViewer on the sources"


def credentials(setup: Setup) -> Iterator[Finding]:
    """Whether there are Google credentials, and whether Google accepts them."""
    name, settings = "Google credentials", setup.settings
    if settings.warehouse != "bigquery" or settings.emulator:
        why = "the embedded warehouse" if settings.warehouse == "embedded" else f"the server at {settings.emulator}"
        yield Finding(name, "ok", f"{why} needs none")
        return
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.auth.transport.requests import Request

    login = (
        "gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS with a key's file; or "
        "CONVERGENCE_WAREHOUSE=embedded to run without BigQuery"
    )
    try:
        credential, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/bigquery"])
    except DefaultCredentialsError as error:
        message = " ".join(str(error).split())
        yield Finding(
            name, "broken", f"BigQuery is chosen ({settings.warehouse_reason}) and there are none: {message}", login
        )
        return
    who = getattr(credential, "service_account_email", None) or "a user's account"
    try:
        credential.refresh(Request())  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        yield Finding(name, "broken", f"those of {who} are not taken: {' '.join(str(error).split())}", login)
        return
    yield Finding(name, "ok", f"those of {who}")


def warehouse(setup: Setup) -> Iterator[Finding]:
    """Whether a query is answered; on BigQuery also whether the project exists and a job may run in it."""
    settings = setup.settings
    name, shown = "warehouse", f"{settings.warehouse} ({settings.warehouse_reason})"
    try:
        with open_warehouse(settings, budget_seconds=0.0) as opened:
            opened.read(Query("SELECT 1 AS one"), _JOB)
    except AccessDenied as error:
        if settings.warehouse == "embedded":
            yield broken(name, error)
        else:
            yield Finding(name, "broken", f"project {settings.project}: access denied: {error}",
                          f"grant this account {_ROLES}; or correct GCP_PROJECT_ID")  # fmt: skip
    except NotFound as error:
        yield Finding(name, "broken", f"project {settings.project} is not known to BigQuery: {error}",
                      "set GCP_PROJECT_ID to one that `gcloud projects list` shows")  # fmt: skip
    except QuotaExceeded as error:
        yield Finding(name, "broken", f"a quota of project {settings.project} is used up: {error}",
                      "wait for its next period, or raise it under IAM & Admin, Quotas; `convergence costs` shows what "
                      "was billed")  # fmt: skip
    except InvalidQuery as error:  # SELECT 1 is right: BigQuery says so of a project's id
        yield Finding(name, "broken", f"project {settings.project}: {error}",
                      "set GCP_PROJECT_ID to one that `gcloud projects list` shows")  # fmt: skip
    except WarehouseError as error:
        yield broken(name, error)
    else:
        yield Finding(name, "ok", f"{shown} answers")


def permissions(setup: Setup) -> Iterator[Finding]:
    """On BigQuery, whether every tenant's queries may read what they read (a dry run each, which bills nothing)."""
    from convergence_assets.assets.dry_run import dry_run

    name, settings = "permissions", setup.settings
    if settings.warehouse != "bigquery":
        yield Finding(name, "ok", "the embedded warehouse has none")
        return
    tenants = [tenant for tenant in setup.registry.tenants.values() if tenant.enabled][:_TENANTS_ASKED]
    denied = 0
    for estimate in dry_run(tenants, settings, now=setup.now(), progress=lambda: None):
        if estimate.problem and estimate.problem.message.startswith(AccessDenied.error_class):
            denied += 1
            yield Finding(name, "broken", f"{estimate.tenant_id}, table {estimate.table}: {estimate.problem.message}",
                          f"grant this account {_ROLES}")  # fmt: skip
    if not denied:
        yield Finding(name, "ok", f"the queries of {len(tenants)} tenants may read what they read")


def service_accounts(setup: Setup) -> Iterator[Finding]:
    """On BigQuery, whether each tenant's account can be used, and whether Google denies it another tenant's dataset."""
    name, settings = "service accounts", setup.settings
    tenants = [t for t in setup.registry.tenants.values() if t.enabled]
    with_account = [t for t in tenants if t.service_account][:_TENANTS_ASKED]
    if settings.warehouse != "bigquery" or not with_account:
        why = "the embedded warehouse has none" if settings.warehouse != "bigquery" else "no tenant has one of its own"
        yield Finding(name, "ok", why)
        return
    wrong = 0
    for tenant in with_account:
        other = next((t for t in tenants if t.tenant_id != tenant.tenant_id and t.dataset != tenant.dataset), None)
        finding = _of_account(settings, tenant, other)
        if finding is not None:
            wrong += 1
            yield finding
    if not wrong:
        yield Finding(name, "ok", f"those of {len(with_account)} tenants are let in, and kept from others' datasets")


def _of_account(settings: Settings, tenant: Tenant, other: Tenant | None) -> Finding | None:
    name, account = "service accounts", tenant.service_account
    with open_warehouse(settings, tenant.location, budget_seconds=0.0, service_account=account) as warehouse:
        try:
            warehouse.read(Query("SELECT 1 AS one"), _JOB)
        except WarehouseError as error:
            seen = f"{tenant.tenant_id}: {account} cannot be used: {error}"
            return Finding(name, "broken", seen, _GRANTS.format(tenant.tenant_id))
        for view in shared_views(tenant, tenant.sources):
            try:
                warehouse.dry_run(Query(f"SELECT * FROM {view.view.quoted}"))
            except NotFound:
                pass  # the first run creates it
            except WarehouseError as error:
                seen = f"{tenant.tenant_id}: {account} cannot read its rows of {view.source}: {error}"
                return Finding(name, "broken", seen, _GRANTS.format(tenant.tenant_id))
            source = replace(view.source, project=view.source.project or settings.project)
            with suppress(WarehouseError):
                warehouse.dry_run(Query(f"SELECT 1 AS one FROM {source.quoted}"))
                return _sees_all(tenant, source)
        if other is None:
            return None
        try:
            visible = warehouse.has_dataset(Dataset(other.dataset, other.project))
        except AccessDenied:
            return None
        except WarehouseError as error:
            return Finding(name, "warning", f"{tenant.tenant_id}: {error}", error.remedy)
    if not visible:
        return None  # not created yet: there is nothing to deny
    seen = f"{tenant.tenant_id}: {account} sees dataset {other.dataset} of tenant {other.tenant_id}"
    return Finding(name, "broken", seen, f"take its roles on the project or on dataset {other.dataset} away")


def _sees_all(tenant: Tenant, source: TableRef) -> Finding:
    seen = f"{tenant.tenant_id}: {tenant.service_account} may read every tenant's rows of the shared source {source}"
    revoke = (
        f'REVOKE `roles/bigquery.dataViewer` ON TABLE {source.quoted} FROM "serviceAccount:{tenant.service_account}"'
    )
    next_step = f"take its role on the table away ({revoke}), or that on its dataset or project"
    return Finding("service accounts", "broken", seen, next_step)


def shared_sources(setup: Setup) -> Iterator[Finding]:
    """Whether the parts of every shared source add up to the whole, in the partitions of the last three days."""
    from convergence_assets.assets.share_counts import count_shares, read_sources

    name, today = "shared sources", setup.now().date()
    read = read_sources(setup.registry)
    if not read:
        yield Finding(name, "ok", "no tenant reads one")
        return
    with open_warehouse(setup.settings) as warehouse:
        for shared, reader in read:
            try:
                counts = count_shares(
                    warehouse, shared, reader.spec, today - timedelta(days=3), today, _GIGABYTES_COUNTED
                )
            except WarehouseError as error:
                yield Finding(name, "warning", f"{shared.table} cannot be counted: {error}", error.remedy)
                continue
            if counts.adds_up:
                seen = f"{shared.table}: {counts.whole.rows} rows, each of one tenant or of the rest"
                yield Finding(name, "ok", seen)
            else:
                yield Finding(name, "broken", f"the parts of {shared.table} are not the whole", "convergence shares")


def disk(setup: Setup) -> Iterator[Finding]:
    """Space for what this machine stores: the embedded warehouse, Dagster's storage and the control store."""
    folder = setup.settings.home
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free, limits = shutil.disk_usage(place).free, setup.limits
    seen = f"{free / 1e9:.1f} GB are free at {place}"
    if free >= limits.free_bytes:
        yield Finding("disk", "ok", seen)
        return
    clean = "free some, or move CONVERGENCE_HOME to a larger disk"
    if setup.settings.warehouse == "embedded":
        clean += f"; {setup.settings.warehouse_folder}/staging holds what failed runs left and goes after seven days"
    yield Finding("disk", "broken" if free < limits.free_bytes_break else "warning", seen, clean)


def clock(setup: Setup) -> Iterator[Finding]:
    """This machine's clock compared with those of the control store, the warehouse and the daemon's machine."""
    others = dict(_other_clocks(setup))
    if not others:
        yield Finding(
            "clock", "ok", "control store and warehouse have this machine's clock; there is no other to compare"
        )
        return
    worst, skew = max(others.items(), key=lambda item: abs(item[1]))
    seconds = skew.total_seconds()
    seen = f"this machine's clock is {abs(seconds):.1f} s {'before' if seconds < 0 else 'behind'} that of {worst}"
    if abs(skew) < setup.limits.clock_skew:
        yield Finding("clock", "ok", seen)
        return
    remedy = "synchronise it (`timedatectl` shows whether it is): locks, leases and due days go by the clock"
    yield Finding("clock", "broken" if abs(skew) >= setup.limits.clock_skew_breaks else "warning", seen, remedy)


def _other_clocks(setup: Setup) -> Iterator[tuple[str, timedelta]]:
    """By clock how far it is ahead of ours; the duration of the query counts in favour of ours."""

    def ahead(ask: Any) -> timedelta:
        before = setup.now()
        theirs: datetime = ask()
        after = setup.now()
        return theirs - before if theirs < before else max(theirs - after, timedelta())

    # Another check reports one that cannot be queried.
    with suppress(ControlError, SettingsError):
        if setup.store.server_clock() is not None:
            yield "the control store", ahead(setup.store.server_clock)
    if setup.settings.warehouse == "bigquery":
        with suppress(WarehouseError), open_warehouse(setup.settings, budget_seconds=0.0) as opened:
            query = Query("SELECT CURRENT_TIMESTAMP() AS now")
            yield "BigQuery", ahead(lambda: opened.read(query, _JOB).to_pylist()[0]["now"])
    with setup.open_instance() as instance:
        beats = automation_states.daemon_heartbeats(instance)
    if beats and (ahead_of_us := max(beats.values()) - setup.now()) > timedelta():
        yield "the daemon's machine", ahead_of_us


def api_port(setup: Setup) -> Iterator[Finding]:
    """Whether the API can be served at its port, or is served there."""
    port, name = setup.settings.api_port, "API port"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            taken = error
        else:
            yield Finding(name, "ok", f"{port} is free")
            return
    if _is_ours(port):
        yield Finding(name, "ok", f"the API is served at {port}")
        return
    owner = _owner(port)
    yield Finding(name, "broken", f"port {port} cannot be had: {taken.strerror}{f', by {owner}' if owner else ''}",
                  "end what uses it, or set API_PORT to another one")  # fmt: skip


def _is_ours(port: int) -> bool:
    import httpx

    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=5.0)
        return answer.status_code == 200 and isinstance(answer.json(), dict)
    except (httpx.HTTPError, ValueError):
        return False


def _owner(port: int) -> str | None:
    import psutil

    try:
        listening = (
            c for c in psutil.net_connections("inet") if c.laddr and c.laddr.port == port and c.status == "LISTEN"
        )
        pid = next((c.pid for c in listening if c.pid), None)
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else None
    except psutil.Error:
        return None

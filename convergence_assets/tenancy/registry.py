"""Which tenants are served: every folder built, the bad ones set aside, the last accepted version in their place."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from convergence_assets.pipelines.catalog import LoadedTemplate, library
from convergence_assets.pipelines.checking import check
from convergence_assets.pipelines.problems import Problem
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenancy.accepted import AcceptedStore
from convergence_assets.tenancy.building import build_tenant
from convergence_assets.tenancy.folder import Files, read_folder
from convergence_assets.tenancy.model import Rejection, Tenant, TenantRegistry
from convergence_assets.tenancy.models import Defaults

DEFAULTS_FILE = "_defaults.yaml"
_DEFAULTS = "_defaults"


def load_registry(
    tenants: str,
    accepted: Path | None,
    *,
    today: date,
    templates: Mapping[str, LoadedTemplate] | None = None,
) -> TenantRegistry:
    """Every tenant under `tenants` (a folder or fsspec URL), built as of `today`.

    `accepted` is where last accepted versions are kept; None neither reads nor writes any. `templates` are the shared
    pipelines, the library's where not given. Raises `UnreadableFolder` alone: every other mistake is in `problems`.
    """
    folders = read_folder(tenants)
    store = AcceptedStore(accepted) if accepted else None
    shared = library() if templates is None else templates
    problems = [p for loaded in shared.values() for p in loaded.problems]
    shown = tenants.rstrip("/")
    defaults, found = _defaults(shown, folders.pop(""), store)
    problems += found
    if defaults is None:
        wrong = tuple(found)
        return TenantRegistry({}, {t: Rejection(t, wrong, None) for t in folders}, tuple(problems))
    built: dict[str, Tenant] = {}
    rejected: dict[str, Rejection] = {}
    for tenant_id, files in sorted(folders.items()):
        files.pop(".empty", None)
        tenant, wrong_here = build_tenant(tenant_id, f"{shown}/{tenant_id}", files, defaults, shared, today)
        if tenant is not None:
            built[tenant_id] = tenant
        else:
            rejected[tenant_id] = Rejection(tenant_id, tuple(sorted(wrong_here, key=_by_place)), None)
    for tenant_id, problem in _dataset_conflicts(built.values(), shown, store):
        del built[tenant_id]
        rejected[tenant_id] = Rejection(tenant_id, (problem,), None)
    if store:
        for tenant_id, tenant in built.items():
            store.keep(tenant_id, tenant.config_version, folders[tenant_id])
        _serve_accepted(built, rejected, store, shown, defaults, shared, today)
    problems += [p for rejection in rejected.values() for p in rejection.problems]
    return TenantRegistry(
        dict(sorted(built.items())),
        dict(sorted(rejected.items())),
        tuple(sorted(dict.fromkeys(problems), key=_by_place)),
    )


def _defaults(shown: str, beside: Files, store: AcceptedStore | None) -> tuple[Defaults | None, list[Problem]]:
    file = f"{shown}/{DEFAULTS_FILE}"
    if DEFAULTS_FILE not in beside:
        problems = [Problem(file, None, "", "missing", "a file with `plans`, `plan` and `schedule`")]
    else:
        raw = beside[DEFAULTS_FILE]
        source = read_yaml(file, raw)
        defaults, problems = check(source, Defaults)
        if defaults is not None and defaults.plan not in defaults.plans:
            problems = [
                Problem(
                    file, source.line(("plan",)), "plan", f"unknown plan {defaults.plan!r}", ", ".join(defaults.plans)
                )
            ]
        if defaults is not None and not problems:
            if store:
                store.keep(_DEFAULTS, _digest(raw), {DEFAULTS_FILE: raw})
            return defaults, []
    if store and (kept := store.files(_DEFAULTS).get(DEFAULTS_FILE)):
        return check(read_yaml(file, kept), Defaults)[0], problems
    return None, problems


def _serve_accepted(
    built: dict[str, Tenant], rejected: dict[str, Rejection], store: AcceptedStore, shown: str, defaults: Defaults,
    shared: Mapping[str, LoadedTemplate], today: date,
) -> None:  # fmt: skip
    taken = {t.dataset: t.tenant_id for t in built.values()}
    for tenant_id, rejection in rejected.items():
        kept = store.files(tenant_id)
        if not kept:
            continue
        tenant, _ = build_tenant(tenant_id, f"{shown}/{tenant_id}", kept, defaults, shared, today)
        if tenant is not None and tenant.dataset not in taken:
            built[tenant_id] = tenant
            rejected[tenant_id] = replace(rejection, last_accepted=tenant.config_version)


def _dataset_conflicts(tenants: Iterable[Tenant], shown: str, store: AcceptedStore | None) -> list[tuple[str, Problem]]:
    """Who loses a dataset that two name: all but the tenant of its name, else the one that had it, else the first."""
    by_dataset: dict[tuple[str | None, str], list[Tenant]] = {}
    for tenant in tenants:
        by_dataset.setdefault((tenant.project, tenant.dataset.lower()), []).append(tenant)
    lost: list[tuple[str, Problem]] = []
    for (_, dataset), sharing in by_dataset.items():
        first, *others = sorted(
            sharing,
            key=lambda t: (t.tenant_id != dataset, not (store and store.version(t.tenant_id)), t.tenant_id),
        )
        for tenant in others:
            file = f"{shown}/{tenant.tenant_id}/tenant.yaml"
            message = f"tenants {first.tenant_id} and {tenant.tenant_id} share dataset {dataset}"
            expected = "a dataset of its own (the tenant id by default)"
            lost += [(tenant.tenant_id, Problem(file, None, "bigquery.dataset", message, expected))]
    return lost


def _by_place(problem: Problem) -> tuple[str, int, str]:
    return (problem.file, problem.line or 0, problem.key)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()

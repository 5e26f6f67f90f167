"""What is right in a tenant's files and does nothing: pipelines that nothing uses, routes without their secret."""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.folder import read_folder
from convergence_assets.tenancy.tenant import AlertRoute, Tenant, TenantRegistry

REMOTE_PLACES = {
    "s3": ("s3fs", "'convergence-assets[s3]'"), "gs": ("gcsfs", "'convergence-assets[gcs]'"),
    "abfs": ("adlfs", "adlfs"),
}  # fmt: skip
"""By protocol the module that reads files there, and what installs it."""


def warnings_of(tenants: str, registry: TenantRegistry, environ: Mapping[str, str] = os.environ) -> tuple[Problem, ...]:
    """Of the tenants that are not rejected, and of the shared defaults. Raises `UnreadableFolder`."""
    root = tenants.rstrip("/")
    problems = list(_unset(f"{root}/_defaults.yaml", registry.alert_routes, environ))
    for tenant_id, files in sorted(read_folder(tenants).tenants.items()):
        tenant = registry.tenants.get(tenant_id)
        if tenant is None or tenant_id in registry.rejected:
            continue
        used = {pipeline.name for pipeline in tenant.pipelines}
        own_pipelines = {path.split("/")[1] for path in files if path.startswith("pipelines/") and path.count("/") > 1}
        problems += [_unused(root, tenant_id, name) for name in sorted(own_pipelines - used)]
        problems += _unreadable_places(f"{root}/{tenant_id}", tenant)
        if tenant.alert_routes != registry.alert_routes:
            problems += _unset(f"{root}/{tenant_id}/tenant.yaml", tenant.alert_routes, environ)
    return tuple(problems)


def _unused(root: str, tenant_id: str, name: str) -> Problem:
    return Problem(
        f"{root}/{tenant_id}/pipelines/{name}",
        None,
        "",
        "nothing uses this pipeline",
        f"`template: {name}` among the `pipelines:` of {tenant_id}/tenant.yaml, if it is to run",
    )


def _unreadable_places(folder: str, tenant: Tenant) -> Iterator[Problem]:
    """Files at a place whose library is not installed in this environment."""
    for pipeline in tenant.pipelines:
        for step in pipeline.steps:
            protocol = (step.path or "").partition("://")[0] if "://" in (step.path or "") else ""
            module, extra = REMOTE_PLACES.get(protocol, (None, ""))
            if module is not None and find_spec(module) is None:
                yield Problem(
                    folder,
                    None,
                    f"{pipeline.name}.{step.table}.path",
                    f"files at {protocol}:// cannot be read by this installation",
                    f"{module} where runs are: pip install {extra}",
                )


def _unset(file: str, routes: tuple[AlertRoute, ...], environ: Mapping[str, str]) -> Iterator[Problem]:
    for number, route in enumerate(routes):
        for name in route.to.variables:
            if name not in environ:
                yield Problem(
                    file,
                    None,
                    f"alerts.routes[{number}].to",
                    f"environment variable {name} is not set here",
                    "a value where the daemon runs; without one this route tells nobody",
                )

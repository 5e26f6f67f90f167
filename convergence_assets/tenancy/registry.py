"""Which tenants are served: loads of all or some tenants, for running, for checking, for the grants they need."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from convergence_assets.pipelines.catalog import LoadedTemplate, library
from convergence_assets.settings import Settings
from convergence_assets.tenancy.accepted_versions import AcceptedStore
from convergence_assets.tenancy.folder import Folder, read_folder
from convergence_assets.tenancy.grants import Grant, merged
from convergence_assets.tenancy.loading import LoadContext, Loading
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.warehouse.duckdb import outcomes

if TYPE_CHECKING:
    pass


def load_tenants(settings: Settings) -> TenantRegistry:
    """The registry as a running deployment sees it: as of today, with the last accepted versions to fall back on, and
    with what was published in mind."""
    # It imports SQLAlchemy, which definitions.py does without until it is called.
    from convergence_assets.control.published_locations import keep_owners

    today, context = datetime.now(UTC).date(), LoadContext.of(settings)
    registry = load_registry(
        settings.tenants, settings.accepted_tenants, today=today, only=settings.only_tenants, context=context
    )
    if settings.only_tenants is None:
        taken = {place: owner for place, owner in registry.owners.items() if context.owners.get(place) != owner}
        released = [place for place, owner in context.owners.items() if registry.owners.get(place) != owner]
        if taken or released:
            keep_owners(settings, taken, released)
    return registry


def load_for_a_run(settings: Settings) -> TenantRegistry:
    """The tenants of `settings.only_tenants`, of which all are loaded first where it is not decided whose their sources
    are."""
    registry, only = load_tenants(settings), settings.only_tenants
    if only is None or not any(rejection.undecided for rejection in registry.rejected.values()):
        return registry
    return load_tenants(replace(settings, only_tenants=None)).part(only.__contains__)


def load_to_check(settings: Settings, folder: Folder, now: datetime, granted: Grant) -> TenantRegistry:
    """The registry of these files, as if `_defaults.yaml` had the lines of `granted` too; nothing is kept."""
    store, today = AcceptedStore(settings.accepted_tenants), now.astimezone(UTC).date()
    shown, context = settings.tenants.rstrip("/"), LoadContext.of(settings)
    return Loading(shown, folder, library(), store, today, context, keeps=False, granted=granted).registry()


def load_accepted(settings: Settings, tenants: Collection[str]) -> TenantRegistry:
    """The last accepted versions of these tenants, with the defaults of that time; those that were never accepted are
    left out. Raises OSError where they cannot be read."""
    store, today = AcceptedStore(settings.accepted_tenants), datetime.now(UTC).date()
    kept = {name: store.files(name) for name in tenants}
    folder = Folder(
        dict(store.files("_defaults")),
        {name: {path: raw for path, raw in files.items() if path[0] != "."} for name, files in kept.items() if files},
    )
    shown = settings.tenants.rstrip("/")
    return Loading(shown, folder, library(), None, today, LoadContext.of(settings), keeps=False).registry()


def grants_needed(settings: Settings) -> Grant:
    """The lines that `_defaults.yaml` lacks so that nothing of today's files is refused for their want; nothing is
    changed, and no accepted version is used. Raises `UnreadableFolder`."""
    folder = read_folder(settings.tenants)
    needed: Grant = {}
    while True:  # what is refused first hides what would be refused next
        problems = load_to_check(settings, folder, datetime.now(UTC), needed).problems
        all_needed = merged([needed, *(problem.grant for problem in problems if problem.grant)])
        if all_needed == needed:
            return needed
        needed = all_needed


def load_registry(
    tenants: str,
    accepted: Path | None,
    *,
    today: date,
    templates: Mapping[str, LoadedTemplate] | None = None,
    only: Collection[str] | None = None,
    context: LoadContext | None = None,
    keep: bool = True,
) -> TenantRegistry:
    """Every tenant under `tenants` (a folder or fsspec URL), built as of `today`.

    `accepted` is where last accepted versions are kept; None neither reads nor writes any. `templates` are the shared
    pipelines, the library's where not given; a tenant whose file says another place than `context` is set aside.
    Raises `UnreadableFolder` alone: every other mistake is in `problems`.

    With `only`, no other tenant's file is read, and what holds between tenants is as the last whole load decided it: a
    source is the tenant's where `context` says so or these very files were accepted, and otherwise not. Such a load
    accepts nothing, as does one without `keep`: it falls back on versions that a whole load kept.
    """
    folder = read_folder(tenants, only)
    shared = library() if templates is None else templates
    store = AcceptedStore(accepted) if accepted else None
    loading = Loading(
        tenants.rstrip("/"), folder, shared, store, today, context or LoadContext(), keeps=keep, whole=only is None
    )
    loading.problems += [p for loaded in shared.values() for p in loaded.problems]
    try:
        return loading.registry()
    finally:
        outcomes.release()

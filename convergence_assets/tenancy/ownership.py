"""The owner of each source table and remote folder: the first tenant to name it keeps it, others need a grant."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.file_places import FilePlaces, fixed_part, one_spelling
from convergence_assets.tenancy.foreign_sources import is_own
from convergence_assets.tenancy.grants import refused_without
from convergence_assets.tenancy.sharing import place_of
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.tenancy.tenant_file import Access
from convergence_assets.warehouse.schema import TableRef


@dataclass(frozen=True)
class Claim:
    """What a tenant's files name as a source: `place` is its one spelling, `name` is as it is written, and
    `declared` is where, as a problem without words."""

    kind: Literal["tables", "files"]
    place: str
    name: str
    declared: Problem


def claims(tenant: Tenant, access: Access, own_project: str | None, shared: Collection[str]) -> Iterator[Claim]:
    """What is the tenant's alone: its sources outside its own dataset, and remote folders, without what it was granted.

    `shared` are places that the operator shares out. A tenant that is not enabled reads nothing and claims nothing.
    """
    if not tenant.enabled:
        return
    places = FilePlaces(tenant.tenant_id, granted=access.files)
    seen: set[str] = set()
    for source in tenant.sources:
        for name in source.tables:
            place = place_of(name, own_project)
            granted = place in shared or access.gives(name)
            table = TableRef.parse(name)
            # A wildcard is read by the operator's line alone.
            if place not in seen and not granted and table.prefix is None and not is_own(table, tenant, own_project):
                seen.add(place)
                yield Claim("tables", place, name, source.declared)
    for step in (step for pipeline in tenant.pipelines for step in pipeline.steps):
        if step.path is not None and "://" in step.path and places.granted_folder(step.path) is None:
            name = fixed_part(step.path)
            place = one_spelling(name)
            if place not in seen:
                seen.add(place)
                yield Claim("files", place, name, step.declared)


@dataclass
class Claims:
    """What all tenants of a load claim. A remote folder within another one is the same place as that."""

    of: dict[str, list[Claim]]

    @property
    def places(self) -> set[str]:
        """Every place that is claimed."""
        return {claim.place for tenant_claims in self.of.values() for claim in tenant_claims}

    def by_place(self, every: Collection[str]) -> dict[str, dict[str, list[Claim]]]:
        """By the widest of `every` place, by tenant, its claims there."""
        by_place: dict[str, dict[str, list[Claim]]] = {}
        for tenant_id, tenant_claims in self.of.items():
            for claim in tenant_claims:
                by_place.setdefault(widest(claim.place, every), {}).setdefault(tenant_id, []).append(claim)
        return by_place


def widest(place: str, every: Collection[str]) -> str:
    """The widest of some places that a place lies in, by whole segments; itself where there is none."""
    segments = place.split("/")
    if len(segments) == 1:
        return place
    wider = ("/".join(segments[:count]) for count in range(3, len(segments)))
    return next((candidate for candidate in wider if candidate in every), place)


def losers(
    claims: Claims,
    owners: Mapping[str, str],
    silent: Collection[str],
    had: Callable[[str, str], bool],
) -> Iterator[tuple[str, Claim, str | None, list[str]]]:
    """Each claim that is not its tenant's: tenant, claim, whose it is (None: nobody had it first), and who claim it.

    `owners` are kept by place; those that are `silent` are not loaded and keep what they had. `had(tenant, place)` is
    whether the version of a tenant that was accepted last named it.
    """
    every = claims.places | {place for place, owner in owners.items() if owner in silent}
    holders_by_place: dict[str, set[str]] = {}
    for place, holder in owners.items():
        holders_by_place.setdefault(widest(place, every), set()).add(holder)
    for place, by_tenant in claims.by_place(every).items():
        owner = _owner(place, by_tenant, holders_by_place.get(place, set()), silent, had)
        for tenant_id, tenant_claims in by_tenant.items():
            for claim in tenant_claims:
                if tenant_id == owner:
                    continue
                # A claim on a wider folder takes nothing below it from others.
                if owner is None and owners.get(widest(claim.place, owners)) == tenant_id:
                    continue
                yield tenant_id, claim, owner, sorted(by_tenant)


def _owner(
    place: str,
    claiming: Iterable[str],
    recorded: Collection[str],
    silent: Collection[str],
    had: Callable[[str, str], bool],
) -> str | None:
    tenants = sorted(claiming)
    holders = [owner for owner in recorded if owner in tenants or owner in silent]
    if not holders:
        holders = tenants if len(tenants) == 1 else [tenant_id for tenant_id in tenants if had(tenant_id, place)]
    return holders[0] if len(holders) == 1 else None


def not_its_own(tenant_id: str, claim: Claim, owner: str | None, claiming: Collection[str]) -> Problem:
    """Why a tenant may not read what it claims, with the line that would allow it."""
    kind = "table" if claim.kind == "tables" else "folder"
    shown = claim.name if claim.kind == "tables" else f"this {kind}"
    if owner is not None:
        message = f"{shown} is read by tenant {owner}, which had it first"
    else:
        message = f"{shown} is read by tenants {' and '.join(claiming)}, and none of them had it first"
    expected = f"a {kind} that is no other tenant's"
    problem = replace(claim.declared, message=message, expected=expected, reaches_out=True)
    # Where nobody had it first, one goes on without a line as soon as the others have theirs.
    if owner is None and tenant_id == min(claiming):
        return problem
    return refused_without({"access": {tenant_id: {claim.kind: [claim.name]}}}, problem)

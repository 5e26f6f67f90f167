"""One load of the tenants: build each, check it against the operator's file and the others, set bad ones aside."""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from convergence_assets.pipelines.catalog import LoadedTemplate
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.validation import check
from convergence_assets.pipelines.yaml_source import Path as Key
from convergence_assets.pipelines.yaml_source import read_yaml, spelled
from convergence_assets.settings import Settings, landing_beside
from convergence_assets.tenancy.accepted_versions import AcceptedStore
from convergence_assets.tenancy.allowances import named_accounts, service_account_of
from convergence_assets.tenancy.datasets import conflicts, share
from convergence_assets.tenancy.description import dataset_of
from convergence_assets.tenancy.folder import Files, Folder
from convergence_assets.tenancy.foreign_sources import Owners, foreign
from convergence_assets.tenancy.grants import Grant, merged
from convergence_assets.tenancy.ownership import Claim, Claims, claims, losers, not_its_own, widest
from convergence_assets.tenancy.sharing import shared_sources
from convergence_assets.tenancy.tenant import Rejection, Tenant, TenantRegistry, alert_routes
from convergence_assets.tenancy.tenant_builder import build_tenant, version_of
from convergence_assets.tenancy.tenant_file import DEFAULTS_FILE, Defaults
from convergence_assets.tenancy.variables import confusable_id, is_confusable

if TYPE_CHECKING:
    from convergence_assets.control.published_locations import PublishedLocation

RULES = 2
"""The number of the rules that a version was accepted under: with another one it is checked again, its SQL too."""
_MOST_PROBLEMS = 100
_DEFAULTS = "_defaults"
# Kept with a tenant's files: what it was accepted with. The folder reader leaves hidden files out.
_KEPT_DEFAULTS = ".defaults.yaml"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadContext:
    """Where tenants have published and whose their sources are, the project of a dataset that names none, where files
    arrive (None: beside the tenants folder), and whether Google keeps service accounts from what is not theirs."""

    places: "Mapping[str, PublishedLocation]" = field(default_factory=dict)
    own_project: str | None = None
    landing: Path | None = None
    owners: Mapping[str, str] = field(default_factory=dict)
    has_accounts: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "LoadContext":
        """From the control store of these settings."""
        from convergence_assets.control.published_locations import known_locations

        locations = known_locations(settings)
        on_bigquery = settings.warehouse == "bigquery"
        return cls(locations.places, settings.project, settings.landing, locations.owners, has_accounts=on_bigquery)


@dataclass
class Loading:
    """One load: `built` are the tenants whose files are right, `served` those on their last accepted version."""

    shown: str
    folder: Folder
    shared: Mapping[str, LoadedTemplate]
    store: AcceptedStore | None
    today: date
    context: LoadContext
    keeps: bool = True
    granted: Grant = field(default_factory=dict)
    whole: bool = True
    problems: list[Problem] = field(default_factory=list)
    built: dict[str, Tenant] = field(default_factory=dict)
    rejected: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    served: dict[str, Tenant] = field(default_factory=dict)
    _accepted: dict[str, Tenant | None] = field(default_factory=dict)
    _owners: Owners = field(default_factory=lambda: Owners(None))
    _confusable: tuple[str, ...] = ()
    _by_account: dict[str | None, list[str]] = field(default_factory=dict)
    _claimed: dict[tuple[str, str], list[Claim]] = field(default_factory=dict)
    _undecided: set[str] = field(default_factory=set)
    _under_these_rules: set[str] = field(default_factory=set)

    def registry(self) -> TenantRegistry:
        raw, defaults = self._defaults()
        self._confusable = tuple(filter(is_confusable, {*self.folder.tenants, *self.context.places}))
        if defaults is None:
            self.rejected = {tenant_id: tuple(self.problems) for tenant_id in self.folder.tenants}
        else:
            for tenant_id, files in sorted(self.folder.tenants.items()):
                self._build_one(tenant_id, files, raw, defaults)
            self._refuse_foreign_sources(defaults)
            self._resolve_conflicts(raw, defaults)
            self._keep_accepted(raw)
        rejected = {
            t: Rejection(t, _limited(problems), _version_of(self.served.get(t)), t in self._undecided)
            for t, problems in sorted(self.rejected.items())
        }
        problems = dict.fromkeys([*self.problems, *(p for rejection in rejected.values() for p in rejection.problems)])
        return TenantRegistry(
            dict(sorted({**self.served, **self.built}.items())),
            rejected,
            tuple(sorted(problems, key=_by_place)),
            alert_routes(defaults.alerts, None) if defaults else (),
            self._source_owners(defaults) if defaults else self.context.owners,
            tuple(shared_sources(defaults, self.context.own_project).values()) if defaults else (),
        )

    def _defaults(self) -> tuple[bytes, Defaults | None]:
        """The shared defaults and their text: the present ones, or where they are wrong the last accepted ones."""
        file = f"{self.shown}/{DEFAULTS_FILE}"
        raw = self.folder.beside.get(DEFAULTS_FILE)
        problems = self.folder.unreadable.get(DEFAULTS_FILE, [])
        if raw is not None:
            defaults, problems = checked_defaults(file, raw, self.granted)
            if defaults is not None:
                return raw, defaults
        elif not problems:
            problems = [Problem(file, None, "", "missing", "a file with `plans`, `plan` and `schedule`")]
        self.problems += problems
        accepted = self.store.files(_DEFAULTS).get(DEFAULTS_FILE, b"") if self.store else b""
        return accepted, checked_defaults(file, accepted)[0]

    def _build_one(self, tenant_id: str, files: Files, raw: bytes, defaults: Defaults) -> None:
        tenant, problems = None, self.folder.unreadable.get(tenant_id, [])
        if not problems:
            tenant, problems = self._checked(tenant_id, files, defaults, read=self._was_accepted(tenant_id, files, raw))
        if tenant is not None:
            self.built[tenant_id] = tenant
        else:
            self.rejected[tenant_id] = tuple(problems)

    def _was_accepted(self, tenant_id: str, files: Files, raw: bytes) -> bool:
        """Whether a whole load has accepted these very files, so that a run's worker need not read their SQL again."""
        if self.store is None or self.whole:
            return False
        return self.store.version(tenant_id) == _stored_version(version_of(files), raw)

    def _checked(
        self, tenant_id: str, files: Files, defaults: Defaults, *, read: bool = False
    ) -> tuple[Tenant | None, list[Problem]]:
        place = f"{self.shown}/{tenant_id}"
        try:
            tenant, problems = build_tenant(
                tenant_id, place, files, defaults, self.shared, self.today, read=read,
                landing=self.context.landing or landing_beside(self.shown), own_project=self.context.own_project,
                confusable=self._confusable,
            )  # fmt: skip
            if tenant is not None:
                own_account = self.context.has_accounts and tenant.service_account is not None
                tenant = replace(tenant, reads_views=own_account and bool(tenant.shares))
                problems = [
                    *self._moved_problems(tenant, f"{place}/tenant.yaml", files),
                    *self._confusable_problems(tenant_id, place),
                    *self._shared_account_problems(tenant, f"{place}/tenant.yaml", defaults),
                ]
            return (None, problems) if problems else (tenant, [])
        except Exception as error:  # a fault of ours in one tenant's files must not take down the others
            _log.exception("checking %s failed", place)
            message = f"checking it failed with {type(error).__name__}, a fault of Convergence; the log has the details"
            return None, [Problem(place, None, "", message)]

    def _moved_problems(self, tenant: Tenant, file: str, files: Files) -> Iterator[Problem]:
        """Settings that differ from those with which days have been published."""
        place = self.context.places.get(tenant.tenant_id)
        if place is None:
            return
        file_values = {"timezone": tenant.timezone, "bigquery.dataset": dataset_of(tenant, self.context.own_project)}
        published_values = {"timezone": place.timezone, "bigquery.dataset": place.dataset}
        differ = [key for key in file_values if file_values[key] != published_values[key]]
        # The file is read once more for its lines, and only then.
        source = read_yaml(file, files["tenant.yaml"]) if differ else None
        for key in differ:
            line = source.line(tuple(key.split("."))) if source else None
            message = f"{file_values[key]!r}, and days were published with {published_values[key]!r}"
            command = f"`convergence tenants migrate {tenant.tenant_id}`, which says what it will do"
            expected = f"{published_values[key]!r}, or {command}"
            yield Problem(file, line, key, message, expected)

    def _confusable_problems(self, tenant_id: str, place: str) -> Iterator[Problem]:
        """A new tenant's id that begins another's variables; one that was served before keeps its name."""
        if tenant_id not in self.context.places and not (self.store and self.store.version(tenant_id)):
            yield from confusable_id(tenant_id, place, None)

    def _shared_account_problems(self, tenant: Tenant, file: str, defaults: Defaults) -> Iterator[Problem]:
        """Another tenant with the same service account; one that an operator's line gives it to keeps it."""
        account, named = tenant.service_account, named_accounts(defaults)
        if account is None:
            return
        if not self._by_account:
            for other in sorted({*self.folder.tenants, *self.context.places}):
                self._by_account.setdefault(service_account_of(other, defaults), []).append(other)
        others = [other for other in self._by_account.get(account, []) if other != tenant.tenant_id]
        if tenant.tenant_id in named:
            others = [other for other in others if other in named]
        if others:
            message = f"{account} is the service account of tenant {others[0]} too"
            line = f"tenants: {{{tenant.tenant_id}: {{service_account: ...}}}}"
            yield Problem(
                file, None, "tenant_id", message, f"another one, by the operator's line in {DEFAULTS_FILE}: {line}"
            )

    def _refuse_foreign_sources(self, defaults: Defaults) -> None:
        """A load of some tenants takes the others' datasets from where they have published."""
        self._refuse_datasets_of_sources(defaults)
        self._owners = Owners(self.context.own_project)
        for tenant_id, place in self.context.places.items():
            self._owners.add(tenant_id, place.dataset)
        for tenant in self.built.values():
            self._owners.add(tenant.tenant_id, dataset_of(tenant, self.context.own_project))
        for tenant_id in list(self.built):
            if problems := self._foreign(self.built[tenant_id], defaults):
                self.rejected[tenant_id] = tuple(problems)
                del self.built[tenant_id]

    def _refuse_datasets_of_sources(self, defaults: Defaults) -> None:
        """A tenant may not claim a dataset that holds others' sources, unless it has published there, or had it.

        Sources named for the first time count only for a dataset that is not called like the tenant.
        """
        project = self.context.own_project
        owners_by_dataset, readers_by_dataset = dict[str, set[str]](), dict[str, set[str]]()
        of_the_operator = dict.fromkeys(shared_sources(defaults, project), "")
        for place, owner in {**self.context.owners, **of_the_operator}.items():
            owners_by_dataset.setdefault(place.rpartition(".")[0], set()).add(owner)
        for tenant in self.built.values():
            for claim in self._claims_of(tenant, defaults):
                readers_by_dataset.setdefault(claim.place.rpartition(".")[0], set()).add(tenant.tenant_id)
        for tenant_id, tenant in list(self.built.items()):
            dataset = tenant.dataset.lower()
            at = f"{(tenant.project or project or '').lower()}.{dataset}"
            readers = set() if dataset == tenant_id else readers_by_dataset.get(at, set())
            others = (owners_by_dataset.get(at, set()) | readers) - {tenant_id}
            granted = [name.lower().split(".")[-2:-1] for name in defaults.access_of(tenant_id).tables]
            if not others or [dataset] in granted or tenant_id in self.context.places:
                continue
            if self._had_dataset(tenant, defaults):
                continue
            message = f"dataset {tenant.dataset} holds sources that are not this tenant's"
            file = f"{self.shown}/{tenant_id}/tenant.yaml"
            problem = Problem(file, 1, "bigquery.dataset", message, "a dataset of its own", reaches_out=True)
            self.rejected[tenant_id] = (problem,)
            del self.built[tenant_id]

    def _had_dataset(self, tenant: Tenant, defaults: Defaults) -> bool:
        before = self._last_accepted(tenant.tenant_id, b"", defaults)
        return before is not None and share(tenant, before)

    def _foreign(self, tenant: Tenant, defaults: Defaults) -> list[Problem]:
        return list(foreign(tenant, self._owners, defaults.access_of(tenant.tenant_id)))

    def _resolve_conflicts(self, raw: bytes, defaults: Defaults) -> None:
        """Set aside tenants that claim what is another's: datasets first, then sources."""

        def accepted(tenant_id: str) -> Tenant | None:
            if tenant_id not in self._accepted:
                self._accepted[tenant_id] = self._last_accepted(tenant_id, raw, defaults)
            return self._accepted[tenant_id]

        falling_back = set(self.rejected)
        while True:
            for tenant_id in sorted(falling_back):
                tenant = accepted(tenant_id)
                if tenant is None or any(share(tenant, other) for other in self.served.values()):
                    continue
                if not self._foreign(tenant, defaults):
                    self.served[tenant_id] = tenant
            lost = conflicts(self.built.values(), self.served, accepted)
            for tenant_id, winner in lost.items():
                self.rejected[tenant_id] = (self._conflict(self.built.pop(tenant_id), winner),)
            falling_back = set(lost) or set(self._lose_sources(raw, defaults, accepted))
            if not falling_back:
                return

    def _lose_sources(
        self, raw: bytes, defaults: Defaults, accepted: Callable[[str], Tenant | None]
    ) -> Collection[str]:
        """Set aside tenants that claim another's source; returns those to serve on their last accepted version."""

        def had(tenant_id: str, place: str) -> bool:
            before = accepted(tenant_id)
            return before is not None and any(
                widest(claim.place, {place}) == place for claim in self._claims_of(before, defaults)
            )

        by_tenant: dict[str, list[Problem]] = {}
        every = Claims({t.tenant_id: self._claims_of(t, defaults) for t in {**self.served, **self.built}.values()})
        if self.whole:
            silent = set(self.folder.tenants) - set(every.of)
            for tenant_id, claim, owner, claiming in losers(every, self.context.owners, silent, had):
                by_tenant.setdefault(tenant_id, []).append(not_its_own(tenant_id, claim, owner, claiming))
        else:
            for tenant_id, tenant_claims in every.of.items():
                for claim, owner in self._undecided_claims(tenant_id, tenant_claims, raw):
                    if owner is None:
                        self._undecided.add(tenant_id)
                        problem = replace(claim.declared, message=f"it is not decided whose {claim.name} is",
                                          expected="a load of all tenants first")  # fmt: skip
                    else:
                        problem = not_its_own(tenant_id, claim, owner, [tenant_id])
                    by_tenant.setdefault(tenant_id, []).append(problem)
        fall_back = [tenant_id for tenant_id in by_tenant if self.built.pop(tenant_id, None)]
        for tenant_id, problems in by_tenant.items():
            if self.served.pop(tenant_id, None) is None:
                self.rejected[tenant_id] = tuple(problems)
        return fall_back

    def _undecided_claims(
        self, tenant_id: str, tenant_claims: Sequence[Claim], raw: bytes
    ) -> Iterator[tuple[Claim, str | None]]:
        """Claims that the last whole load did not decide for the tenant, with the other tenant whose they are."""
        owners = self.context.owners
        by_widest = {widest(place, owners): owner for place, owner in owners.items()}
        files = self.folder.tenants.get(tenant_id, {})
        if tenant_id in self.served:
            decided_before = tenant_id in self._under_these_rules
        else:
            decided_before = self._was_accepted(tenant_id, files, raw)
        for claim in tenant_claims:
            owner = by_widest.get(widest(claim.place, owners))
            if owner != tenant_id and not (owner is None and decided_before):
                yield claim, owner

    def _claims_of(self, tenant: Tenant, defaults: Defaults) -> list[Claim]:
        """Cached: each tenant's are needed three times a load, and for its accepted version too."""
        key = (tenant.tenant_id, tenant.config_version)
        if key not in self._claimed:
            access, project = defaults.access_of(tenant.tenant_id), self.context.own_project
            self._claimed[key] = list(claims(tenant, access, project, shared_sources(defaults, project)))
        return self._claimed[key]

    def _source_owners(self, defaults: Defaults) -> Mapping[str, str]:
        """The owner of each source from now on; a tenant that is not served keeps what it had."""
        serving = {**self.served, **self.built}
        unanswered = {
            place: owner for place, owner in self.context.owners.items()
            if owner in self.folder.tenants and owner not in serving
        }  # fmt: skip
        claimed = {c.place: t.tenant_id for t in serving.values() for c in self._claims_of(t, defaults)}
        return {**claimed, **unanswered}

    def _last_accepted(self, tenant_id: str, raw: bytes, defaults: Defaults) -> Tenant | None:
        if self.store is None:
            return None
        if tenant_id in self.built and self.store.version(tenant_id) == self._version_to_keep(tenant_id, raw):
            return self.built[tenant_id]
        try:
            files = dict(self.store.files(tenant_id))
        except OSError as error:
            self.problems.append(_unusable_store(error))
            return None
        accepted_defaults = files.pop(_KEPT_DEFAULTS, None)
        if self.store.version(tenant_id) == _stored_version(version_of(files), accepted_defaults or b""):
            self._under_these_rules.add(tenant_id)
        if accepted_defaults is not None:
            defaults = _defaults_accepted_with(checked_defaults(DEFAULTS_FILE, accepted_defaults)[0], defaults)
        return self._checked(tenant_id, files, defaults)[0] if files else None

    def _conflict(self, tenant: Tenant, winner: Tenant) -> Problem:
        file = f"{self.shown}/{tenant.tenant_id}/tenant.yaml"
        source = read_yaml(file, self.folder.tenants[tenant.tenant_id]["tenant.yaml"])
        at = ("bigquery", "dataset") if ("bigquery", "dataset") in source.lines else ("tenant_id",)
        message = f"tenants {winner.tenant_id} and {tenant.tenant_id} share dataset {tenant.dataset}"
        expected = "a dataset of its own (the tenant id by default)"
        return Problem(file, source.line(at), "bigquery.dataset", message, expected)

    def _keep_accepted(self, raw: bytes) -> None:
        if self.store is None or not self.keeps or not self.whole:
            return
        try:
            self.store.keep_version(_DEFAULTS, _digest(raw), {DEFAULTS_FILE: raw})
            for tenant_id in self.built:
                files = {**self.folder.tenants[tenant_id], _KEPT_DEFAULTS: raw}
                self.store.keep_version(tenant_id, self._version_to_keep(tenant_id, raw), files)
        except OSError as error:
            self.problems.append(_unusable_store(error))

    def _version_to_keep(self, tenant_id: str, raw: bytes) -> str:
        return _stored_version(self.built[tenant_id].config_version, raw)


def checked_defaults(file: str, raw: bytes, granted: Grant | None = None) -> tuple[Defaults | None, list[Problem]]:
    """The checked `_defaults.yaml`, as if it had the lines of `granted` too; None where there is any problem."""
    source = read_yaml(file, raw)
    if source.data is not None and granted:
        source.data = merged([source.data, granted])
    defaults, problems = check(source, Defaults)
    if defaults is None:
        return None, problems
    plans: dict[Key, str | None] = {("plan",): defaults.plan}
    plans |= {("tenants", tenant_id, "plan"): allowed.plan for tenant_id, allowed in defaults.tenants.items()}
    for at, plan in plans.items():
        if plan is not None and plan not in defaults.plans:
            near = nearest(plan, defaults.plans)
            message = f"unknown plan {plan!r}"
            problems.append(Problem(file, source.line(at), spelled(at), message, listing(defaults.plans), near))
    return (None, problems) if problems else (defaults, [])


def _defaults_accepted_with(accepted: Defaults | None, now: Defaults) -> Defaults:
    """The defaults that a version was accepted with, but with the operator's keys as they are now."""
    if accepted is None:
        return now
    return accepted.model_copy(update={**now.by_operator(), "plans": {**accepted.plans, **now.plans}})


def _unusable_store(error: OSError) -> Problem:
    place = str(error.filename or "the store of accepted tenants")
    message = f"last accepted tenant files cannot be kept or read: {error.strerror or type(error).__name__}"
    return Problem(place, None, "", message, "a CONVERGENCE_HOME that can be written")


def _limited(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """A tenant's problems by place; if there are very many, the first ones and how many more."""
    ordered = tuple(sorted(problems, key=_by_place))
    if len(ordered) <= _MOST_PROBLEMS:
        return ordered
    more = f"{len(ordered) - _MOST_PROBLEMS} more mistakes"
    return (*ordered[:_MOST_PROBLEMS], Problem(ordered[-1].file, None, "", more, "those above mended first"))


def _version_of(tenant: Tenant | None) -> str | None:
    return tenant.config_version if tenant else None


def _stored_version(config_version: str, raw: bytes) -> str:
    return _digest(f"{RULES}\n{config_version}".encode() + raw)


def _by_place(problem: Problem) -> tuple[str, int, str]:
    return (problem.file, problem.line or 0, problem.key)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()

"""A new tenant's file from what was said of it: written as a person would, checked as the registry does, compared."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from convergence_assets.pipelines.catalog import library
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.validation import check
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenancy.folder import Files
from convergence_assets.tenancy.grants import Grant
from convergence_assets.tenancy.secrets import Secret
from convergence_assets.tenancy.tenant_file import TenantPipelineSpec, TenantSpec
from convergence_assets.tenancy.variables import confusable_id

TENANT_FILE = "tenant.yaml"

# What YAML reads as the text that it is, also between brackets.
_PLAIN = re.compile(r"[A-Za-z](?:[\w ./@+-]|:(?=\w))*[\w]|[A-Za-z]")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_BREAKS = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")
_ROUTE = re.compile(r"((?:critical|warning|info)(?:,(?:critical|warning|info))*)=(.+)")
_KEY = re.compile(r"(?:([a-z][a-z0-9_]*)\.)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Route:
    """Where alerts of these severities go; `to` as the file says it."""

    severities: tuple[str, ...]
    to: str = field(repr=False)


@dataclass(frozen=True)
class Wanted:
    """What a tenant is to be. None, or empty, is what nobody said: the defaults hold, or what the file says already.

    `parameters` are by template the values under `with`; of each template what is said holds for `start_date` and
    `schedule`. `shared_projects` and `shared_labels` are its rows of tables that other tenants read too.
    """

    tenant_id: str
    display_name: str | None = None
    timezone: str | None = None
    templates: tuple[str, ...] = ()
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    start_date: date | None = None
    schedule: str | None = None
    plan: str | None = None
    location: str | None = None
    project: str | None = None
    dataset: str | None = None
    owners: tuple[str, ...] = ()
    alert_routes: tuple[Route, ...] = ()
    shared_projects: tuple[str, ...] = ()
    shared_labels: Mapping[str, str] = field(default_factory=dict)


def wrong_id(tenant_id: str) -> list[Problem]:
    """What is wrong with a tenant's id by itself."""
    _, problems = standing(TENANT_FILE, f"tenant_id: {_scalar(tenant_id)}\n".encode())
    wrong = [problem for problem in problems if problem.key == "tenant_id"]
    return wrong or list(confusable_id(tenant_id, TENANT_FILE, 1))


def missing(wanted: Wanted, files: Files) -> list[str]:
    """What a new tenant's file cannot do without and nobody said: fields of `Wanted`, and `with <template>.<name>`."""
    named = ("display_name", "timezone", "templates", "start_date")
    absent = [name for name in named if not getattr(wanted, name)]
    for template in wanted.templates:
        given = wanted.parameters.get(template, {})
        absent += [f"with {template}.{name}" for name in required(template, files) if name not in given]
    return absent


def tables_named(wanted: Wanted) -> list[str]:
    """The tables that parameters of shipped templates name."""
    found: list[str] = []
    for template, values in wanted.parameters.items():
        loaded = library().get(template)
        declared = loaded.template.spec.parameters if loaded and loaded.template else {}
        for name, value in values.items():
            if name in declared and declared[name].type in ("table", "tables"):
                found += map(str, value if isinstance(value, list) else [value])
    return found


def share_of(wanted: Wanted) -> Grant:
    """The lines of `_defaults.yaml` that give the tenant its rows of the tables that it names. Raises ValueError."""
    share: dict[str, Any] = {}
    if wanted.shared_projects:
        share["projects"] = list(wanted.shared_projects)
    if wanted.shared_labels:
        share["labels"] = dict(wanted.shared_labels)
    if not share:
        return {}
    tables = tables_named(wanted)
    if not tables:
        raise ValueError("no parameter names a table of which it could have a share")
    return {"shared_sources": {table: {wanted.tenant_id: share} for table in tables}}


def labels(pairs: Sequence[str]) -> dict[str, str]:
    """`key=value` by key. Raises ValueError."""
    found = dict(text.partition("=")[::2] for text in pairs)
    wrong = [text for text in pairs if not text.partition("=")[0] or not text.partition("=")[2]]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no label; expected key=value")
    return found


def required(template: str, files: Files) -> Mapping[str, str]:
    """The parameters of a shipped template that have no default, with what each is; none of the tenant's own ones."""
    loaded = library().get(template)
    if loaded is None or loaded.template is None or f"pipelines/{template}/pipeline.yaml" in files:
        return {}
    declared = loaded.template.spec.parameters
    return {name: spec.description or spec.type for name, spec in declared.items() if spec.default is None}


def templates_of(files: Files) -> list[str]:
    """Every template that a tenant with these files may name."""
    own = {path.split("/")[1] for path in files if path.startswith("pipelines/") and path.count("/") > 1}
    return sorted({*library(), *own})


def parameters(said: Sequence[str], templates: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`key=value` and `template.key=value` by template, each value as YAML reads it. Raises ValueError."""
    found: dict[str, dict[str, Any]] = {}
    for text in said:
        match = _KEY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no parameter; expected key=value, or template.key=value")
        template, key, value = match[1], match[2], match[3]
        if template is None and len(templates) != 1:
            named = ", ".join(templates) or "none is named"
            raise ValueError(f"{text!r}: of which template ({named})? Write it before the key: template.{key}=value")
        if template is not None and template not in templates:
            near = nearest(template, templates)
            hint = f"did you mean {near!r}?" if near else f"expected {listing(templates)}"
            raise ValueError(f"{text!r}: no template {template!r} is asked for; {hint}")
        found.setdefault(template or templates[0], {})[key] = _as_yaml_reads(value)
    return found


def route(said: str) -> Route:
    """`critical,warning=${env:NAME}`, or `${env:NAME}` alone for both of them.

    Raises ValueError for an address in plain text: it may hold a token, and the file is read by many.
    """
    match = _ROUTE.fullmatch(said)
    found = Route(tuple(match[1].split(",")), match[2]) if match else Route(("critical", "warning"), said)
    if not Secret(found.to).variables:
        raise ValueError("an address does not stand in a file; put it into a variable and write '${env:NAME}'")
    return found


def rendered(wanted: Wanted) -> str:
    """`tenant.yaml`: the keys in the order and with the remarks that the shipped ones have."""
    lines = [
        f"tenant_id: {_scalar(wanted.tenant_id)} # equals the folder's name",
        f"display_name: {_scalar(wanted.display_name or '')}",
        f"timezone: {_scalar(wanted.timezone or '')} # a partition is a day here",
    ]
    place = {"project": wanted.project, "dataset": wanted.dataset, "location": wanted.location}
    said = ", ".join(f"{key}: {_scalar(value)}" for key, value in place.items() if value)
    if said:
        lines.append(f"bigquery: {{{said}}}")
    if wanted.plan:
        lines.append(f"plan: {_scalar(wanted.plan)} # how much it may run; tenants/_defaults.yaml has the plans")
    if wanted.owners:
        lines.append(f"owners: [{', '.join(map(_scalar, wanted.owners))}]")
    lines.append("pipelines:")
    for template in wanted.templates:
        lines += _pipeline(wanted, template)
    if wanted.alert_routes:
        lines += ["alerts:", "  routes:"]
        lines += [
            f"    - {{severities: [{', '.join(r.severities)}], to: {_quoted(r.to)}}}" for r in wanted.alert_routes
        ]
    return "\n".join(lines) + "\n"


def _pipeline(wanted: Wanted, template: str) -> Iterable[str]:
    yield f"  - template: {_scalar(template)}"
    given = wanted.parameters.get(template, {})
    if given:
        yield "    with:"
        yield from (f"      {name}: {_scalar(value)}" for name, value in given.items())
    yield f"    start_date: {wanted.start_date} # the first day that is made"
    if wanted.schedule:
        yield f"    schedule: {_quoted(wanted.schedule)} # cron in the timezone above"


def standing(file: str, raw: bytes) -> tuple[TenantSpec | None, list[Problem]]:
    """What a file that is there says."""
    return check(read_yaml(file, raw), TenantSpec)


def differences(stands: TenantSpec, wanted: Wanted) -> list[str]:
    """In words where what is wanted is not what the file says; what nobody said differs in nothing."""
    pairs: list[tuple[str, Any, Any]] = [
        ("enabled", stands.enabled, True),
        ("display_name", stands.display_name, wanted.display_name),
        ("timezone", stands.timezone, wanted.timezone),
        ("plan", stands.plan, wanted.plan),
        ("bigquery.project", stands.bigquery.project, wanted.project),
        ("bigquery.dataset", stands.bigquery.dataset or stands.tenant_id, wanted.dataset),
        ("bigquery.location", stands.bigquery.location, wanted.location),
        ("owners", list(stands.owners), list(wanted.owners) or None),
    ]
    found = {pipeline.template: pipeline for pipeline in stands.pipelines}
    if wanted.templates:
        pairs.append(("templates", sorted(found), sorted(wanted.templates)))
    for template in wanted.templates or tuple(found):
        if template in found:
            pairs += _pairs_of_pipeline(found[template], wanted)
    said = [f"{key}: is {_shown(is_)}, asked for {_shown(asked)}" for key, is_, asked in pairs if _differs(is_, asked)]
    routes = tuple((r.severities, r.to.get_secret_value()) for r in (stands.alerts.routes if stands.alerts else ()))
    if wanted.alert_routes and routes != tuple((r.severities, r.to) for r in wanted.alert_routes):
        said.append("alerts.routes: is other than asked for (addresses are not shown)")
    return said


def _pairs_of_pipeline(stands: TenantPipelineSpec, wanted: Wanted) -> list[tuple[str, Any, Any]]:
    at = f"pipelines[{stands.template}]"
    given = wanted.parameters.get(stands.template, {})
    return [
        (f"{at}.start_date", stands.start_date, wanted.start_date),
        (f"{at}.schedule", stands.schedule, wanted.schedule),
        *((f"{at}.with.{name}", stands.with_.get(name), value) for name, value in given.items()),
    ]


def _differs(stands: Any, asked: Any) -> bool:
    return asked is not None and stands != asked


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def disabled(file: str, raw: bytes, why: str) -> bytes | None:
    """The file with `enabled: false` and otherwise as it was, comments and order included; None where that cannot be
    done line by line. `why` is a remark beside the key."""
    before = read_yaml(file, raw)
    if not isinstance(before.data, dict):
        return None
    lines = raw.decode("utf-8").splitlines()
    at = before.lines.get(("enabled",))
    if at is not None:
        lines[at - 1] = re.sub(r"^(enabled:\s*)[^\s#]+(\s*)$", rf"\1false # {why}\2", lines[at - 1])
        lines[at - 1] = re.sub(r"^(enabled:\s*)(?!false)[^\s#]+", r"\1false", lines[at - 1])
    else:
        after = max(before.end((key,)) or 0 for key in ("tenant_id", "display_name", "timezone"))
        lines.insert(after, f"enabled: false # {why}")
    edited = ("\n".join(lines) + "\n").encode()
    return edited if read_yaml(file, edited).data == {**before.data, "enabled": False} else None


def _as_yaml_reads(value: str) -> Any:
    source = read_yaml("", b"value: " + value.encode())
    said = source.data["value"] if source.data is not None and list(source.data) == ["value"] else value
    return value if isinstance(said, dict | list) or said is None else said


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal | date):
        return str(value)
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    escaped = json.dumps(text, ensure_ascii=False)
    return _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped)

"""A new tenant's file from its settings: written as a person would, checked as the registry does, compared."""

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
class TenantSettings:
    """A tenant's requested settings. None or empty: not requested, so the defaults or the existing file hold.

    `parameters` are by template the values under `with`; `start_date` and `schedule` hold for every template.
    `shared_projects` and `shared_labels` are its rows of tables that other tenants read too.
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
    _, problems = parse_tenant_file(TENANT_FILE, f"tenant_id: {_scalar(tenant_id)}\n".encode())
    wrong = [problem for problem in problems if problem.key == "tenant_id"]
    return wrong or list(confusable_id(tenant_id, TENANT_FILE, 1))


def missing(requested: TenantSettings, files: Files) -> list[str]:
    """What a new tenant's file needs and is not requested: fields of `TenantSettings`, and `with <template>.<name>`."""
    needed = ("display_name", "timezone", "templates", "start_date")
    absent = [name for name in needed if not getattr(requested, name)]
    for template in requested.templates:
        values = requested.parameters.get(template, {})
        absent += [f"with {template}.{name}" for name in required(template, files) if name not in values]
    return absent


def tables_named(requested: TenantSettings) -> list[str]:
    """The tables that parameters of shipped templates name."""
    tables: list[str] = []
    for template, values in requested.parameters.items():
        loaded = library().get(template)
        declared = loaded.template.spec.parameters if loaded and loaded.template else {}
        for name, value in values.items():
            if name in declared and declared[name].type in ("table", "tables"):
                tables += map(str, value if isinstance(value, list) else [value])
    return tables


def share_of(requested: TenantSettings) -> Grant:
    """The lines of `_defaults.yaml` that give the tenant its rows of the tables that it names. Raises ValueError."""
    share: dict[str, Any] = {}
    if requested.shared_projects:
        share["projects"] = list(requested.shared_projects)
    if requested.shared_labels:
        share["labels"] = dict(requested.shared_labels)
    if not share:
        return {}
    tables = tables_named(requested)
    if not tables:
        raise ValueError("no parameter names a table of which it could have a share")
    return {"shared_sources": {table: {requested.tenant_id: share} for table in tables}}


def labels(pairs: Sequence[str]) -> dict[str, str]:
    """`key=value` by key. Raises ValueError."""
    by_key = dict(text.partition("=")[::2] for text in pairs)
    wrong = [text for text in pairs if not text.partition("=")[0] or not text.partition("=")[2]]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no label; expected key=value")
    return by_key


def required(template: str, files: Files) -> Mapping[str, str]:
    """The parameters of a shipped template that have no default, with what each is; none of the tenant's own ones."""
    loaded = library().get(template)
    if loaded is None or loaded.template is None or f"pipelines/{template}/pipeline.yaml" in files:
        return {}
    declared = loaded.template.spec.parameters
    return {name: spec.description or spec.type for name, spec in declared.items() if spec.default is None}


def templates_of(files: Files) -> list[str]:
    """Every template that a tenant with these files may name."""
    own_templates = {path.split("/")[1] for path in files if path.startswith("pipelines/") and path.count("/") > 1}
    return sorted({*library(), *own_templates})


def parameters(texts: Sequence[str], templates: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`key=value` and `template.key=value` by template, each value as YAML reads it. Raises ValueError."""
    by_template: dict[str, dict[str, Any]] = {}
    for text in texts:
        match = _KEY.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no parameter; expected key=value, or template.key=value")
        template, key, value = match[1], match[2], match[3]
        if template is None and len(templates) != 1:
            template_names = ", ".join(templates) or "none is named"
            raise ValueError(
                f"{text!r}: of which template ({template_names})? Write it before the key: template.{key}=value"
            )
        if template is not None and template not in templates:
            near = nearest(template, templates)
            hint = f"did you mean {near!r}?" if near else f"expected {listing(templates)}"
            raise ValueError(f"{text!r}: no template {template!r} is asked for; {hint}")
        by_template.setdefault(template or templates[0], {})[key] = _as_yaml_reads(value)
    return by_template


def route(text: str) -> Route:
    """`critical,warning=${env:NAME}`, or `${env:NAME}` alone for both of them.

    Raises ValueError for an address in plain text: it may hold a token, and the file is read by many.
    """
    match = _ROUTE.fullmatch(text)
    parsed = Route(tuple(match[1].split(",")), match[2]) if match else Route(("critical", "warning"), text)
    if not Secret(parsed.to).variables:
        raise ValueError("an address does not stand in a file; put it into a variable and write '${env:NAME}'")
    return parsed


def rendered(requested: TenantSettings) -> str:
    """`tenant.yaml`: the keys in the order and with the remarks that the shipped ones have."""
    lines = [
        f"tenant_id: {_scalar(requested.tenant_id)} # equals the folder's name",
        f"display_name: {_scalar(requested.display_name or '')}",
        f"timezone: {_scalar(requested.timezone or '')} # a partition is a day here",
    ]
    place = {"project": requested.project, "dataset": requested.dataset, "location": requested.location}
    bigquery = ", ".join(f"{key}: {_scalar(value)}" for key, value in place.items() if value)
    if bigquery:
        lines.append(f"bigquery: {{{bigquery}}}")
    if requested.plan:
        lines.append(f"plan: {_scalar(requested.plan)} # how much it may run; tenants/_defaults.yaml has the plans")
    if requested.owners:
        lines.append(f"owners: [{', '.join(map(_scalar, requested.owners))}]")
    lines.append("pipelines:")
    for template in requested.templates:
        lines += _pipeline(requested, template)
    if requested.alert_routes:
        lines += ["alerts:", "  routes:"]
        lines += [
            f"    - {{severities: [{', '.join(r.severities)}], to: {_quoted(r.to)}}}" for r in requested.alert_routes
        ]
    return "\n".join(lines) + "\n"


def _pipeline(requested: TenantSettings, template: str) -> Iterable[str]:
    yield f"  - template: {_scalar(template)}"
    values = requested.parameters.get(template, {})
    if values:
        yield "    with:"
        yield from (f"      {name}: {_scalar(value)}" for name, value in values.items())
    yield f"    start_date: {requested.start_date} # the first day that is made"
    if requested.schedule:
        yield f"    schedule: {_quoted(requested.schedule)} # cron in the timezone above"


def parse_tenant_file(file: str, raw: bytes) -> tuple[TenantSpec | None, list[Problem]]:
    """The settings of an existing file, and its problems."""
    return check(read_yaml(file, raw), TenantSpec)


def differences(existing: TenantSpec, requested: TenantSettings) -> list[str]:
    """In words where a requested setting differs from the file's."""
    pairs: list[tuple[str, Any, Any]] = [
        ("enabled", existing.enabled, True),
        ("display_name", existing.display_name, requested.display_name),
        ("timezone", existing.timezone, requested.timezone),
        ("plan", existing.plan, requested.plan),
        ("bigquery.project", existing.bigquery.project, requested.project),
        ("bigquery.dataset", existing.bigquery.dataset or existing.tenant_id, requested.dataset),
        ("bigquery.location", existing.bigquery.location, requested.location),
        ("owners", list(existing.owners), list(requested.owners) or None),
    ]
    by_template = {pipeline.template: pipeline for pipeline in existing.pipelines}
    if requested.templates:
        pairs.append(("templates", sorted(by_template), sorted(requested.templates)))
    for template in requested.templates or tuple(by_template):
        if template in by_template:
            pairs += _pairs_of_pipeline(by_template[template], requested)
    different = [
        f"{key}: is {_shown(is_)}, asked for {_shown(requested_value)}"
        for key, is_, requested_value in pairs
        if _differs(is_, requested_value)
    ]
    routes = tuple((r.severities, r.to.get_secret_value()) for r in (existing.alerts.routes if existing.alerts else ()))
    if requested.alert_routes and routes != tuple((r.severities, r.to) for r in requested.alert_routes):
        different.append("alerts.routes: is other than asked for (addresses are not shown)")
    return different


def _pairs_of_pipeline(existing: TenantPipelineSpec, requested: TenantSettings) -> list[tuple[str, Any, Any]]:
    at = f"pipelines[{existing.template}]"
    values = requested.parameters.get(existing.template, {})
    return [
        (f"{at}.start_date", existing.start_date, requested.start_date),
        (f"{at}.schedule", existing.schedule, requested.schedule),
        *((f"{at}.with.{name}", existing.with_.get(name), value) for name, value in values.items()),
    ]


def _differs(existing: Any, requested_value: Any) -> bool:
    return requested_value is not None and existing != requested_value


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def disabled(file: str, raw: bytes, why: str) -> bytes | None:
    """The file with `enabled: false` and otherwise as it was, comments and order included; None where that cannot be
    done line by line. `why` is a comment after the key."""
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
    parsed = source.data["value"] if source.data is not None and list(source.data) == ["value"] else value
    return value if isinstance(parsed, dict | list) or parsed is None else parsed


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
    return _BREAKS.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped)

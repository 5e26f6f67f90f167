"""The operator's lines in `_defaults.yaml` that allow a tenant what is refused without them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import yaml

from convergence_assets.pipelines.problems import Problem
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenancy.models import DEFAULTS_FILE

Grant = Mapping[str, Any]
"""Keys of `_defaults.yaml` with their values."""

_SECTION = re.compile(r"^(\w+):\s*\{(.*)\}(\s*(?:#.*)?)$")


def refused_without(grant: Grant, problem: Problem) -> Problem:
    """The problem, with the line that would allow it."""
    line = f"the operator's line in {DEFAULTS_FILE}: {in_one_line(grant)}"
    expected = f"{problem.expected}, or {line}" if problem.expected else line
    return replace(problem, expected=expected, grant=grant)


def merged(grants: Iterable[Grant]) -> dict[str, Any]:
    """All of them in one: of two bounds the larger, of two lists what is in either."""
    found: dict[str, Any] = {}
    for grant in grants:
        for key, value in grant.items():
            found[key] = _both(found[key], value) if key in found else value
    return found


def in_one_line(grant: Grant) -> str:
    """`tenants: {acme: {plan: enterprise}}`."""
    return _flow(grant)[1:-1]


def in_lines(grant: Grant) -> str:
    """For a person: a line a tenant under each key."""
    lines: list[str] = []
    for section, tenants in grant.items():
        lines.append(f"{section}:")
        lines += [f"  {in_one_line({tenant_id: given})}" for tenant_id, given in sorted(tenants.items())]
    return "\n".join([*lines, ""])


def written(raw: bytes, grant: Grant) -> bytes | None:
    """`_defaults.yaml` with a grant's lines, comments and order as they were; None where that cannot be done line by
    line: a tenant has other lines there already, or a key's value stands in braces over several lines."""
    before = read_yaml(DEFAULTS_FILE, raw).data
    if not isinstance(before, dict):
        return None
    for section, tenants in grant.items():
        for tenant_id, given in tenants.items():
            raw = _with_line(raw, section, in_one_line({tenant_id: given}))
    return raw if read_yaml(DEFAULTS_FILE, raw).data == merged([before, grant]) else None


def _with_line(raw: bytes, section: str, line: str) -> bytes:
    source = read_yaml(DEFAULTS_FILE, raw)
    lines = raw.decode("utf-8").splitlines()
    at = source.lines.get((section,))
    if at is None:
        return "\n".join([*lines, f"{section}:", f"  {line}", ""]).encode()
    in_braces = _SECTION.match(lines[at - 1])
    if in_braces:
        others = f"{in_braces[2].strip()}, " if in_braces[2].strip() else ""
        lines[at - 1] = f"{section}: {{{others}{line}}}{in_braces[3]}"
    else:
        below = [place for path, place in source.lines.items() if len(path) == 2 and path[0] == section]
        first = lines[min(below) - 1] if below else "  "
        lines.insert(source.end((section,)) or at, first[: len(first) - len(first.lstrip())] + line)
    return "\n".join([*lines, ""]).encode()


def _both(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return merged([one, other])
    if isinstance(one, list) and isinstance(other, list):
        return list(dict.fromkeys([*one, *other]))
    return max(one, other) if isinstance(one, int) and isinstance(other, int) else other


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=True)
    return text.strip()

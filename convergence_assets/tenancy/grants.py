"""The operator's lines in `_defaults.yaml` that allow a tenant what is refused without them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import yaml

from convergence_assets.pipelines.problems import Problem
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenancy.tenant_file import DEFAULTS_FILE

Grant = Mapping[str, Any]
"""Keys of `_defaults.yaml` with their values."""

_IN_BRACES = re.compile(r"^(\s*[^\s{#][^{#]*:\s*)\{(.*)\}(\s*(?:#.*)?)$")


def refused_without(grant: Grant, problem: Problem) -> Problem:
    """The problem, with the line that would allow it."""
    line = f"the operator's line in {DEFAULTS_FILE}: {in_one_line(grant)}"
    expected = f"{problem.expected}, or {line}" if problem.expected else line
    return replace(problem, expected=expected, grant=grant)


def merged(grants: Iterable[Grant]) -> dict[str, Any]:
    """All of them in one: of two bounds the larger, of two lists what is in either."""
    result: dict[str, Any] = {}
    for grant in grants:
        for key, value in grant.items():
            result[key] = _merged_values(result[key], value) if key in result else value
    return result


def in_one_line(grant: Grant) -> str:
    """`tenants: {acme: {plan: enterprise}}`."""
    return _flow(grant)[1:-1]


def in_lines(grant: Grant) -> str:
    """For a person: a line a tenant under each key."""
    lines: list[str] = []
    for section, by_name in grant.items():
        lines.append(f"{section}:")
        lines += [f"  {in_one_line({name: value})}" for name, value in sorted(by_name.items())]
    return "\n".join([*lines, ""])


def is_written(raw: bytes, grant: Grant) -> bool:
    """Whether `_defaults.yaml` has all of it already."""
    before = read_yaml(DEFAULTS_FILE, raw).data
    return isinstance(before, dict) and merged([before, grant]) == before


def written(raw: bytes, grant: Grant) -> bytes | None:
    """`_defaults.yaml` with a grant's lines, comments and order as they were; None where that cannot be done line by
    line: a value has to change, or is in braces over several lines."""
    before = read_yaml(DEFAULTS_FILE, raw).data
    if not isinstance(before, dict):
        return None
    for section, by_name in grant.items():
        for name, value in by_name.items():
            raw = _with_value(raw, (section, name), value)
    return raw if read_yaml(DEFAULTS_FILE, raw).data == merged([before, grant]) else None


def _with_value(raw: bytes, path: tuple[str, ...], new: Any) -> bytes:
    """The text with a value under a path: merged into what is there, where both are mappings."""
    source = read_yaml(DEFAULTS_FILE, raw)
    if path in source.lines and isinstance(new, Mapping):
        for key, value in new.items():
            raw = _with_value(raw, (*path, key), value)
        return raw
    if len(path) > 1 and path[:-1] not in source.lines:
        return _with_value(raw, path[:-1], {path[-1]: new})
    if path in source.lines:
        return raw  # the caller sees that it has another value
    return _with_line(raw, path[:-1], path[-1], new)


def _with_line(raw: bytes, parent: tuple[str, ...], key: str, new: Any) -> bytes:
    source = read_yaml(DEFAULTS_FILE, raw)
    lines = raw.decode("utf-8").splitlines()
    if not parent:
        below = [f"  {in_one_line({name: value})}" for name, value in new.items()]
        return "\n".join([*lines, f"{key}:", *below, ""]).encode()
    at, line = source.lines[parent], in_one_line({key: new})
    in_braces = _IN_BRACES.match(lines[at - 1])
    if in_braces:
        others = f"{in_braces[2].strip()}, " if in_braces[2].strip() else ""
        lines[at - 1] = f"{in_braces[1]}{{{others}{line}}}{in_braces[3]}"
    else:
        places = [place for path, place in source.lines.items() if path[:-1] == parent]
        parent_line = lines[at - 1]
        first = lines[min(places) - 1] if places else " " * (len(parent_line) - len(parent_line.lstrip()) + 2)
        lines.insert(source.end(parent) or at, first[: len(first) - len(first.lstrip())] + line)
    return "\n".join([*lines, ""]).encode()


def _merged_values(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return merged([one, other])
    if isinstance(one, list) and isinstance(other, list):
        return list(dict.fromkeys([*one, *other]))
    return max(one, other) if isinstance(one, int) and isinstance(other, int) else other


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=True)
    return text.strip()

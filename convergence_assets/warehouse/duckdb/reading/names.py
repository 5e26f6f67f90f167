"""A file's columns compared with the declared ones: missing, not declared, twice, spelled in another case."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from convergence_assets.warehouse.duckdb.reading.forms import Form
from convergence_assets.warehouse.errors import UnreadableFile
from convergence_assets.warehouse.interface import FileRules
from convergence_assets.warehouse.schema import Column

Keys = Mapping[str, "Keys"]
"""The names that a file holds, as it spells them, each with the names inside."""

_SHOWN = 5


@dataclass(frozen=True)
class Matched:
    """How the file spells each declared column that it has (by its declared name), and what is not declared."""

    spelled: Mapping[str, str]
    ignored: tuple[str, ...]


def keys_of(form: Form) -> Keys:
    """The names inside a column of Parquet."""
    inner = form.element if form.kind == "LIST" and form.element else form
    return {name: keys_of(member) for name, member in inner.members.items()}


def match(where: str, columns: Sequence[Column], keys: Keys, rules: FileRules, *, exact: bool) -> Matched:
    """Raises `UnreadableFile` for a column that is missing or there twice, and where `exact` for one not declared.

    Names compare without case, those inside a RECORD exactly. Inside a RECORD a nullable name may be missing, unless an
    undeclared name is there instead.
    """
    spelled: dict[str, list[str]] = {}
    for name in keys:
        spelled.setdefault(name.lower(), []).append(name)
    declared = {c.name.lower(): c for c in columns}
    wrong = [f"{where}: columns {' and '.join(map(repr, twice))} are one" for twice in spelled.values() if twice[1:]]
    others = [name for name in keys if name.lower() not in declared]
    missing = [c.name for c in columns if c.name.lower() not in spelled and c.name.lower() not in rules.optional]
    wrong += _missing(where, missing, others)
    inside: list[str] = []
    for lower, column in declared.items():
        for name in spelled.get(lower, ())[:1]:
            for path, undeclared, problem in _inside(column, keys[name], rules, name):
                inside += undeclared
                wrong += [f"{where} {path}: {problem}"] if problem else []
    ignored = [_named(name) for name in others] + inside
    if exact and ignored and not wrong:
        expected = ", ".join(c.name for c in columns)
        wrong.append(f"{where}: {_undeclared(ignored)}; expected the columns {expected}")
    if wrong:
        raise UnreadableFile("\n".join(wrong))
    return Matched({declared[lower].name: names[0] for lower, names in spelled.items() if lower in declared},
                   tuple(ignored))  # fmt: skip


def _missing(where: str, missing: Sequence[str], others: Sequence[str]) -> Iterator[str]:
    for name in missing:
        near = _near(name, others)
        renamed = f"; is it {_named(near)}, which is not declared?" if near else ""
        if others and not near:
            renamed = f"; the file has {', '.join(map(_named, others[:_SHOWN]))} instead, not declared"
        yield f"{where} {name}: missing{renamed}; a column that files may lack is declared `optional: true`"


def _inside(
    column: Column, keys: Keys, rules: FileRules, path: str
) -> Iterator[tuple[str, list[str], str | None]]:  # fmt: skip
    """For each RECORD its path, the names in it that are not declared, and what is wrong with it."""
    if column.type != "RECORD" or not keys:
        return
    declared = {f.name: f for f in column.fields}
    others = [name for name in keys if name not in declared]
    absent = [n for n in declared if n not in keys and f"{path}.{n}".lower() not in rules.optional]
    problem = None
    if others and absent:
        problem = f"{', '.join(absent)} missing, and {_undeclared([_named(o) for o in others])} (renamed?)"
    yield path, [f"{path}.{name}" for name in others], problem
    for name, field in declared.items():
        if name in keys:
            yield from _inside(field, keys[name], rules, f"{path}.{name}")


def _undeclared(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} not declared"


def _near(name: str, others: Sequence[str]) -> str | None:
    lower = {other.lower(): other for other in others}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return lower[close[0]] if close else None


def _named(name: str) -> str:
    return name[:80] if name.strip() else "a column without a name"

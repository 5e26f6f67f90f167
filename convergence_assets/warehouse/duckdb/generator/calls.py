"""A function's call as entries see it, and the table of entries."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.googlesql.types import kind_of, spelled


@dataclass(frozen=True)
class Argument:
    """An argument: its DuckDB text, GoogleSQL's type, and where it is a literal its value."""

    sql: str
    type: Any
    is_literal: bool = False
    value: Any = None

    @property
    def kind(self) -> str:
        return kind_of(self.type)


@dataclass(frozen=True)
class Call:
    """A call with its arguments and the type of what it gives."""

    name: str
    arguments: tuple[Argument, ...]
    type: Any

    def literal(self, at: int, what: str) -> Any:
        """The value of an argument that has to be written out; raises `Unsupported` where it is computed."""
        argument = self.arguments[at]
        if not argument.is_literal:
            raise Unsupported(f"{self.name} with {what} that is not a literal has no form on the embedded engine",
                              f"write {what} as a literal")  # fmt: skip
        return argument.value


Form = str | Callable[[Call], str]


@dataclass
class Entries:
    """By function, what it becomes for given types of arguments.

    Types are names (`STRING`), `ANY` for every type, and `...` after the last one for any number of them. A form is a
    text with `{0}`, `{1}` for the arguments, or a function of the call.
    """

    forms: dict[str, list[tuple[tuple[str, ...], Form]]] = field(default_factory=dict)

    def add(self, name: str, types: str, form: Form) -> None:
        self.forms.setdefault(name, []).append((tuple(types.split()), form))

    def many(self, types: str, forms: dict[str, Form]) -> None:
        """Several functions of the same types."""
        for name, form in forms.items():
            self.add(name, types, form)

    def form(self, call: Call) -> str:
        """The call in DuckDB's SQL; raises `Unsupported` where there is no entry."""
        kinds = [a.kind for a in call.arguments]
        for types, form in self.forms.get(call.name, ()):
            if not matches(types, kinds):
                continue
            texts = [a.sql for a in call.arguments]
            if call.name in LAZY:
                return _written(form, call, texts)
            return once(texts, lambda operands, form=form: _written(form, call, operands))  # type: ignore[misc]
        shown = call.name.removeprefix("$").upper()
        operands = ", ".join(spelled(a.type) for a in call.arguments)
        if call.name in self.forms:
            raise Unsupported(
                f"{shown}({operands}) has no form on the embedded engine", "CAST its arguments to other types"
            )
        raise Unsupported(f"function {shown} has no form on the embedded engine",
                          "use one of the functions that the pipelines guide lists")  # fmt: skip


LAZY = frozenset(
    {"if", "ifnull", "coalesce", "$case_no_value", "$case_with_value", "$and", "$or", "error", "iferror", "iserror"}
)
"""What evaluates an argument only where it is needed: an error in another one is none."""
# A column, a field, a parameter or a literal: as cheap to repeat as to bind.
_PLAIN = re.compile(
    r"((?<!\w)\(|[\w$.\")]){,100}|((DATE|TIME|TIMESTAMP|TIMESTAMPTZ) )?'([^']|'')*'|CAST\(('[^']*'|NULL|[0-9]+) AS [\w(),]+\)"
)
_BOUND = re.compile(r"\blet(\d{1,9})\b")
# No author can know it: one who wrote a mark into a literal would have another text put between its quotes.
_SECRET = secrets.token_hex(16)
_MARK = re.compile(rf"\x01{_SECRET}-[0-9]+\x02")
_numbers = count()


def once(texts: Sequence[str], body: Callable[[Sequence[str]], str]) -> str:
    """What `body` writes over some expressions, each evaluated once though it may occur many times.

    A macro's parameter is text to DuckDB, so that nested macros would grow with a power of their depth. A lambda over a
    list of one binds it: 7 ns a row (DuckDB 1.5).
    """
    # `body` may hold the marks of another call around this one.
    marks = [t if _PLAIN.fullmatch(t) else f"\x01{_SECRET}-{next(_numbers)}\x02" for t in texts]
    written = body(marks)
    bound = [at for at, mark in enumerate(marks) if mark != texts[at] and _stands_often(written, mark)]
    name = f"let{max([0, *(int(n) for text in (*texts, written) for n in _BOUND.findall(text))]) + 1}"
    whole = {at: name if len(bound) == 1 else f"({name}).a{at}" for at in bound}
    meant = {mark: whole.get(at, texts[at]) for at, mark in enumerate(marks)}
    written = _MARK.sub(lambda match: meant.get(match[0], match[0]), written)
    if not bound:
        return written
    if len(bound) == 1:
        return f"list_transform([{texts[bound[0]]}], lambda {name}: {written})[1]"
    packed = ", ".join(f"a{at} := {texts[at]}" for at in bound)
    return f"list_transform([struct_pack({packed})], lambda {name}: {written})[1]"


def _stands_often(written: str, mark: str) -> bool:
    # Within TRY an argument's own error would become NULL: SAFE is of the function alone.
    return written.count(mark) > 1 or (mark in written and ("bq_" in written or "TRY(" in written))


def _written(form: Form, call: Call, texts: Sequence[str]) -> str:
    if isinstance(form, str):
        return form.format(*texts)
    return form(replace(call, arguments=tuple(replace(a, sql=t) for a, t in zip(call.arguments, texts, strict=True))))


def matches(types: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether arguments of these kinds are what an entry takes."""
    if types and types[-1] == "...":
        fixed = types[:-2]
        repeated = kinds[len(fixed) :]
        return (
            len(kinds) >= len(fixed)
            and matches(fixed, kinds[: len(fixed)])
            and all(types[-2] in ("ANY", kind) for kind in repeated)
        )
    return len(types) == len(kinds) and all(t in ("ANY", k) for t, k in zip(types, kinds, strict=True))

"""A function's call as entries see it, and the table of entries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
            if matches(types, kinds):
                return form.format(*(a.sql for a in call.arguments)) if isinstance(form, str) else form(call)
        shown = call.name.removeprefix("$").upper()
        given = ", ".join(spelled(a.type) for a in call.arguments)
        if call.name in self.forms:
            raise Unsupported(
                f"{shown}({given}) has no form on the embedded engine", "CAST its arguments to other types"
            )
        raise Unsupported(f"function {shown} has no form on the embedded engine",
                          "use one of the functions that the pipelines guide lists")  # fmt: skip


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

"""Rendered SQL, and the names that stand in it."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

_COLUMNS = ("needs", "returns", "unread")


@dataclass(frozen=True)
class TableReference:
    """A bare table name in a text: [start, end) in characters, `line` 1-based; `aliased` where it is given another."""

    name: str
    start: int
    end: int
    line: int
    aliased: bool = False


@dataclass(frozen=True)
class ColumnName:
    """A column as a text writes it, and the line where it does."""

    name: str
    line: int


@dataclass(frozen=True)
class Names:
    """What names in SQL become: a bare table's name any relation, a column's name (in lower case) another name."""

    tables: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CompiledSql:
    """Rendered SQL: the tables it reads by bare name, the columns it needs of them, the parameters it binds.

    `returns` are its columns in order, None where a `*` leaves them open; `unread` are names it gives and never uses.
    """

    file: str
    text: str
    references: tuple[TableReference, ...]
    parameters: frozenset[str]
    needs: tuple[ColumnName, ...]
    returns: tuple[ColumnName, ...] | None
    unread: tuple[ColumnName, ...]
    source_lines: tuple[int, ...]

    @classmethod
    def of(cls, text: str, names: Any) -> "CompiledSql | None":
        """A text whose names `names` once returned; None where they are none of it."""
        try:
            columns = {key: _columns(names[key]) for key in _COLUMNS}
            references = tuple(TableReference(*reference) for reference in names["references"])
            lines = tuple(range(1, text.count("\n") + 2))
            return cls("", text, references, frozenset(names["parameters"]), source_lines=lines, **columns)
        except (KeyError, TypeError):
            return None

    def names(self) -> dict[str, Any]:
        """All that was read of the text, in JSON's types."""
        return {
            "references": [astuple(reference) for reference in self.references],
            "parameters": sorted(self.parameters),
            "needs": [astuple(column) for column in self.needs],
            "returns": None if self.returns is None else [astuple(column) for column in self.returns],
            "unread": [astuple(column) for column in self.unread],
        }

    @property
    def tables(self) -> frozenset[str]:
        return frozenset(r.name for r in self.references)

    def line(self, rendered_line: int) -> int:
        """The template's line of a line of `text`."""
        return self.source_lines[min(rendered_line, len(self.source_lines)) - 1] if self.source_lines else 1

    def resolve(self, names: Names) -> str:
        """The text with every bare table name replaced; all else stays as the author wrote it."""
        return with_names(self.text, self.references, names)


def _columns(names: Any) -> Any:
    return None if names is None else tuple(ColumnName(*column) for column in names)


def with_names(text: str, references: Sequence[TableReference], names: Names) -> str:
    """The text with these references, and columns, under other names."""
    places = [(r.start, r.end, _relation(r, names.tables[r.name])) for r in references]
    if names.columns:
        import sqlglot
        from sqlglot.tokenizer_core import TokenType

        places += [
            (token.start, token.end + 1, names.columns[token.text.lower()])
            for token in sqlglot.tokenize(text, read="bigquery")
            if token.token_type in (TokenType.VAR, TokenType.IDENTIFIER) and token.text.lower() in names.columns
        ]
    for start, end, name in sorted(places, reverse=True):
        text = text[:start] + name + text[end:]
    return text


def _relation(reference: TableReference, relation: str) -> str:
    """A query in a table's place keeps the table's name where the text gives it no other."""
    if not relation.startswith("("):
        return relation
    return relation if reference.aliased else f"{relation} AS `{reference.name}`"

"""A query in parts, and the same query with less of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.warehouse.googlesql.query_literals import KINDS, VALUES


@dataclass(frozen=True)
class Part:
    """A piece of a query's text. `kind` is an expression's type, `query`, `optional` for what may be left out, or
    `list` for pieces of which any may be left out."""

    kind: str
    pieces: tuple["Part | str", ...]
    joiner: str = ""

    @property
    def sql(self) -> str:
        return self.joiner.join(piece if isinstance(piece, str) else piece.sql for piece in self.pieces)

    def within(self) -> Iterator["Part"]:
        """The parts that it holds, largest first as they are nested."""
        for piece in self.pieces:
            if isinstance(piece, Part):
                yield piece
                yield from piece.within()


@dataclass(frozen=True)
class Column:
    """What a query may read: `kind` is a type, or a word of NARROW."""

    sql: str
    kind: str


@dataclass(frozen=True)
class Relation:
    """Rows, and the columns that put them in one order; None where none do."""

    part: Part
    columns: tuple[Column, ...]
    keys: tuple[str, ...] | None


def smaller(part: Part) -> Iterator[Part]:
    """The same query with less of it, the largest cuts first; not all of them are valid."""
    if part.kind == "optional" and part.sql:
        yield Part("optional", ("",))
    if part.kind == "list" and len(part.pieces) > 1:
        for at in range(len(part.pieces)):
            yield replace(part, pieces=part.pieces[:at] + part.pieces[at + 1 :])
    if part.kind in KINDS or part.kind == "query":
        size = len(part.sql)
        yield from (other for other in part.within() if other.kind == part.kind and len(other.sql) < size)
    if part.kind in VALUES and len(part.pieces) > 1:
        yield Part(part.kind, (VALUES[part.kind][1],))
        yield Part(part.kind, (f"CAST(NULL AS {part.kind})",))
    for at, piece in enumerate(part.pieces):
        if isinstance(piece, Part):
            for cut in smaller(piece):
                yield replace(part, pieces=(*part.pieces[:at], cut, *part.pieces[at + 1 :]))


def shrunk(part: Part, fails: Callable[[str], bool], tries: int = 400) -> Part:
    """The smallest query found that still fails."""
    found = True
    while found:
        found = False
        for cut in smaller(part):
            tries -= 1
            if tries < 0:
                return part
            if fails(cut.sql):
                part, found = cut, True
                break
    return part

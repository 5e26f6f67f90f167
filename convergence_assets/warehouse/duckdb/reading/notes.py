"""Notes on reading files (ignored columns, rounded values), collected over all files."""

from collections.abc import Iterable
from dataclasses import dataclass, field

_SHOWN = 3


@dataclass
class Notes:
    """Columns that were ignored, and values that were rounded, over the files of one load."""

    _ignored: dict[str, int] = field(default_factory=dict)
    _rounded: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def ignored(self, names: Iterable[str]) -> None:
        for name in names:
            self._ignored[name] = self._ignored.get(name, 0) + 1

    def rounded(self, column: str, number: int, examples: Iterable[str]) -> None:
        before, shown = self._rounded.get(column, (0, ()))
        self._rounded[column] = before + number, (*shown, *examples)[:_SHOWN]

    def sentences(self) -> tuple[str, ...]:
        lines = []
        if self._ignored:
            names = (f"{n} (in {files} files)" if files > 1 else n for n, files in self._ignored.items())
            lines.append(f"ignored, since it is not declared: {', '.join(names)}")
        for column, (number, examples) in self._rounded.items():
            shown = f", e.g. {'; '.join(examples)}" if examples else ""
            lines.append(f"rounded half to even in {column}: {number} values{shown}")
        return tuple(lines)

"""The log lines of several processes in one terminal: text on a terminal, JSON elsewhere."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from convergence_assets.logs.lines import as_text, wrapped
from convergence_assets.settings import log_format

_COLOURS = {"code": "green", "daemon": "cyan", "webserver": "blue", "api": "magenta", "up": "bold"}


class LogMultiplexer:
    """Shows the log lines of the platform's parts; may be called from several threads."""

    def __init__(self) -> None:
        """Raises `SettingsError` for a CONVERGENCE_LOG_FORMAT that is none."""
        self._json = log_format(is_terminal=sys.stdout.isatty()) == "json"
        self._console = Console(soft_wrap=True, highlight=False)

    def follow(self, part: str, lines: Iterable[str]) -> None:
        """Show the lines of a part until it has no more."""
        for line in lines:
            self.show(part, _fields(part, line.rstrip()))

    def write_line(self, text: str) -> None:
        """A line of this process itself."""
        self.show("up", wrapped(text, "convergence.up") | {"severity": "INFO"})

    def show(self, part: str, fields: Mapping[str, Any]) -> None:
        if self._json:
            sys.stdout.write(json.dumps({**fields, "part": part}) + "\n")
            sys.stdout.flush()
        else:
            shown = fields["message"] if fields.get("severity") == "DEFAULT" else as_text(fields, colours=True)
            self._console.print(
                Text(f"{part:10}", _COLOURS[part.partition(" ")[0]]), Text.from_ansi(str(shown)), sep=""
            )


def _fields(part: str, line: str) -> Mapping[str, Any]:
    """The fields of a line. Before Dagster has opened its instance it writes JSON of its own."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and "message" in fields:
        return fields
    if isinstance(fields, dict) and "event" in fields:
        return wrapped(str(fields["event"]), str(fields.get("logger", part))) | {
            "severity": str(fields.get("level")).upper()
        }
    return wrapped(line, part)

"""Evidence as one zip file to share: JSON and SQL by name, a summary beside them, secrets hidden."""

import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from convergence_assets.diagnostics.evidence import Evidence
from convergence_assets.redaction import redacted, redacted_value

SUMMARY = "summary.txt"


def write_bundle(path: Path, evidence: Evidence, summary: str) -> list[str]:
    """Write the file, replacing an old one; returns the names in it. Raises `OSError`."""
    texts = {SUMMARY: redacted(summary)} | {name: _text(name, content) for name, content in evidence.contents.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in texts.items():
            bundle.writestr(name, text)
    return list(texts)


def _text(name: str, content: Any) -> str:
    if name.endswith(".sql"):
        return redacted(str(content))
    return json.dumps(redacted_value(plain(content)), indent=1, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """The value as JSON: moments in UTC and days in ISO 8601; other types as text."""
    match value:
        case str() | int() | float() | None:
            return value
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    return str(value)

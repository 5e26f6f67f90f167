"""Messages as they are kept in `golden/`; `CONVERGENCE_WRITE_GOLDEN=1` writes them anew."""

import json
import os
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"
_KEY = re.compile(r"convergence-[0-9a-f]{32}")


def same(name: str, content: Any) -> None:
    """Text, or what JSON can say, is what the golden file holds; keys that differ each time are left out."""
    text = (
        content.replace("\r\n", "\n")
        if isinstance(content, str)
        else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    )
    text = _KEY.sub("convergence-KEY", text)
    file = FOLDER / name
    if os.environ.get("CONVERGENCE_WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()

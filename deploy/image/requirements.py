"""Prints what an installation with an extra needs: `python requirements.py pyproject.toml production`.

With it the dependencies are a layer of the image that stays as it is while only the project's code changes.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def requirements(project: Mapping[str, Any], extra: str) -> Iterator[str]:
    """The dependencies, and those of the extra and of the project's own extras that it names."""
    own = re.compile(rf"{re.escape(project['name'])}\[([\w,-]+)\]")
    for requirement in [*project["dependencies"], *project["optional-dependencies"][extra]]:
        if match := own.fullmatch(requirement):
            for named in match[1].split(","):
                yield from project["optional-dependencies"][named]
        else:
            yield requirement


if __name__ == "__main__":
    print("\n".join(requirements(tomllib.loads(Path(sys.argv[1]).read_text())["project"], sys.argv[2])))

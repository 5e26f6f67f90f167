"""Makes a release: `python scripts/release.py 0.2.0` in a clean checkout.

Sets the version in pyproject.toml and the tag of the image in deploy/kubernetes, dates what CHANGELOG.md has under
"Unreleased", commits all of it and tags the commit.
Nothing is pushed. `make release VERSION=0.2.0` then builds the wheel and runs the demo from it.
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

VERSION = re.compile(r'^version = "(\d+)\.(\d+)\.(\d+)"$', re.MULTILINE)
IMAGE_TAGS = {
    "deploy/kubernetes/image/kustomization.yaml": re.compile(r"(newTag: )\S+()"),
    "deploy/kubernetes/values.yaml": re.compile(r'(tag: ")[^"]*(")'),
}
"""Where manifests name the image's tag, which is the version."""
UNRELEASED = "## Unreleased\n"


def git(*arguments: str) -> str:
    """The output of a git command; ends the program where it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def main(version: str) -> None:
    """Release this version; ends the program with a sentence where it cannot be."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        sys.exit(f"{version!r} is no version; expected three numbers, such as 0.2.0")
    if git("status", "--porcelain"):
        sys.exit("the checkout has changes that are not committed; commit or remove them first")
    project, changes = Path("pyproject.toml"), Path("CHANGELOG.md")
    text, log = project.read_text(), changes.read_text()
    current = VERSION.search(text)
    if current is None:
        sys.exit('pyproject.toml has no line such as version = "0.1.0"')
    before, after = tuple(map(int, current.groups())), tuple(map(int, version.split(".")))
    if after <= before:
        sys.exit(f"{version} is not newer than {'.'.join(current.groups())}")
    begin = log.find(UNRELEASED)
    section = re.split(r"^## ", log[begin + len(UNRELEASED) :], maxsplit=1, flags=re.MULTILINE)[0] if begin >= 0 else ""
    if not section.strip():
        sys.exit("CHANGELOG.md has nothing under '## Unreleased'; say what a deployment has to do or will notice")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    project.write_text(VERSION.sub(f'version = "{version}"', text, count=1))
    for file, line in IMAGE_TAGS.items():
        tagged = Path(file)
        tagged.write_text(line.sub(rf"\g<1>{version}\g<2>", tagged.read_text(), count=1))
    changes.write_text(log.replace(UNRELEASED, f"{UNRELEASED}\n## {version} ({today})\n", 1))
    git("commit", "--quiet", "--all", "--message", f"Release {version}")
    git("tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    print(f"committed and tagged v{version}. Next: git push --follow-tags")


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])

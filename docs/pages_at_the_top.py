"""Hooks of mkdocs: the repository's own pages (README, ARCHITECTURE …) are pages of the site, beside those of docs/."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

TOP = Path(__file__).parents[1]
PAGES = ("README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")
_ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?:\.\./)*(?:deploy|tenants|convergence_assets|LICENSE)[^)]*\)")


def on_files(files: Files, config: Any) -> Files:
    for name in PAGES:
        page = File(name, str(TOP), config.site_dir, config.use_directory_urls)
        page.dest_uri = page.dest_uri.replace("index.html", "README.html") if name == "README.md" else page.dest_uri
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links between both kinds of page, as they are on the site; files that are no pages are named alone."""
    markdown = _ELSEWHERE.sub(r"\1", markdown)
    # On the site the pages of docs/ are where the repository's own are: one folder less.
    depth = page.file.src_uri.count("/")
    return markdown.replace(f"]({'../' * (depth + 1)}", f"]({'../' * depth}").replace("](docs/", "](")

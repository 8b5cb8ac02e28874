"""Hooks of mkdocs: pages that are made from other files of the repository, and links that lead out of `docs/`."""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:  # mkdocs loads this file by its path
    sys.path.insert(0, str(ROOT))

from mkdocs.structure.files import File  # noqa: E402

from scripts.docs_site import grpc_page, http_page  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

# Pages of the site that are files elsewhere in the repository; the README of each family is another.
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "charts/voiceplane/README.md": "reference/chart.md",
    "plugins/livekit/README.md": "reference/livekit-plugin.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.DOTALL | re.MULTILINE)


def pages() -> dict[str, str]:
    """The pages that are files elsewhere: the file's path in the repository to the page's path in the site."""
    families = sorted(path.parent.name for path in (ROOT / "families").glob("*/README.md"))
    found = OUTSIDE | {f"families/{name}/README.md": f"reference/families/{name}.md" for name in families}
    return {source: page for source, page in found.items() if (ROOT / source).is_file()}


def generated() -> dict[str, str]:
    """The pages that are made from code, by their paths in the site."""
    return {"reference/grpc.md": grpc_page.page(), "reference/http.md": http_page.page()}


def relinked(text: str, *, source: str, page: str, repository: str = "") -> str:
    """A page's text whose links lead on: to pages of the site, or to the repository.

    Args:
        text: The Markdown.
        source: The path of the file in the repository, from which its relative links start.
        page: The path of the page in the site.
        repository: The address of the repository; without one, a link to a file that is no page becomes plain text.
    """
    elsewhere = pages()

    def follow(match: re.Match[str]) -> str:
        image, label, target, anchor = match[1], match[2], match[3], match[4] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        inside = elsewhere.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if inside:
            return f"{image}[{label}]({posixpath.relpath(inside, posixpath.dirname(page) or '.')}{anchor})"
        if not (ROOT / path).exists():
            return match[0]  # mkdocs reports it
        return f"[{label}]({repository.rstrip('/')}/tree/main/{path}{anchor})" if repository else label

    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    text = _LINK.sub(follow, _FENCE.sub(keep, text))
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the families below the one of all families."""
    overview = "reference/families.md"
    families = [page for page in pages().values() if page.startswith("reference/families/")]
    if families:
        for section in config.nav or []:
            for entries in section.values() if isinstance(section, dict) else ():
                for entry in entries if isinstance(entries, list) else ():
                    if entry.get("Families") == overview:
                        entry["Families"] = [overview, *families]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in `docs/`."""
    for source, page in pages().items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for page, content in generated().items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links on."""
    del files
    here = page.file.src_uri
    source = next((source for source, target in pages().items() if target == here), f"docs/{here}")
    repository = config.repo_url or os.environ.get("DOCS_REPOSITORY", "")
    return relinked(markdown, source=source, page=here, repository=repository)

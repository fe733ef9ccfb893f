"""The pages of the documentation, and the code blocks on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
)

_BLOCK = re.compile(
    # ruff formats ```python, but does not know ```{.python}, which includes a file.
    r"^(?P<indent> *)```(?P<language>\w*|\{\.\w+\})\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A code block: its page and line, its language, its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def text(page: str) -> str:
    """A page, by its path below the repository."""
    return (ROOT / page).read_text("utf-8")


def blocks(*languages: str) -> list[Block]:
    """The code blocks of all pages in one of these languages."""
    return [
        Block(
            page=path.relative_to(ROOT).as_posix(),
            line=page[: found.start()].count("\n") + 1,
            language=found["language"],
            text=found["text"],
        )
        for path in PAGES
        for page in [path.read_text("utf-8")]
        for found in _BLOCK.finditer(page)
        if found["language"] in languages
    ]


def block(page: str, language: str) -> Block:
    """The first block of a language on a page."""
    return next(item for item in blocks(language) if item.page == page)

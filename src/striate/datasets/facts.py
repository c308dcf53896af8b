"""What is known of a corpus before it is opened, and what was found in a copy of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from striate.errors import FileError, StriateError, some

Found = TypeVar("Found")


@dataclass(frozen=True)
class Facts:
    """What a user needs to know to get a corpus and to use it rightly.

    Parameters
    ----------
    title
        Its full name.
    where
        Where to get it.
    agreement
        Licence, and what must be agreed to.
    size
        How large it is.
    citation
        What to cite.
    tree
        The expected tree, two spaces of indent per level, what is optional in brackets.

    """

    title: str
    where: str
    agreement: str
    size: str
    citation: str
    tree: str

    def __str__(self) -> str:
        lines = [
            self.title,
            f"  get it:    {self.where}",
            f"  agreement: {self.agreement}",
            f"  size:      {self.size}",
            f"  cite:      {self.citation}",
            "  expected:",
            *(f"    {line}" for line in self.tree.strip("\n").split("\n")),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Finding:
    """One thing found in a copy: there, not there although it may be wanted, or wrong."""

    kind: Literal["there", "missing", "wrong"]
    file: str
    told: str

    def __str__(self) -> str:
        return f"{self.kind:8s}{self.file}: {self.told}"


def tried(file: str | Path, read: Callable[[], Found]) -> tuple[Found | None, list[Finding]]:
    """What `read` returns, and nothing found; or None, and what is wrong with the file."""
    try:
        return read(), []
    except StriateError as error:
        return None, [Finding("wrong", str(file), str(error))]


def root_of(path: str | Path, facts: Facts, markers: Iterable[str]) -> Path:
    """The folder of a corpus, where any of the `markers` (globs) is.

    Raises
    ------
    FileError
        When it holds none of them; the message tells where to get the corpus.

    """
    root = Path(path).expanduser()
    wanted = list(markers)
    if any(next(root.glob(m), None) is not None for m in wanted):
        return root
    have = sorted(p.name for p in root.iterdir()) if root.is_dir() else []
    raise FileError(
        f"no {some(wanted)} of {facts.title} in {root.absolute()}, which holds"
        f" {some(have, 8) or 'nothing'}: pass dataset.path=FOLDER that holds them; get them from"
        f" {facts.where}"
    )

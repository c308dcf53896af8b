"""Verbs about data sets: what a copy holds, made-up ones, and what a challenge is handed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from striate.cli.options import Overrides
from striate.errors import StriateError


def check(
    dataset: Annotated[str, typer.Argument(help="Name of a dataset: see `striate list datasets`.")],
    fields: Overrides = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only what is wrong; responses are not read.")
    ] = False,
) -> None:
    """Tell what is in a dataset, what is missing and what is wrong with which file.

    Exit status: 0 fine, 1 something is wrong, 2 not opened; where nothing of it is there, also
    where to get it.
    """
    from striate.datasets.check import examine
    from striate.machine import Machine, using
    from striate.recipe import apply_override
    from striate.registry import build, find

    table: dict[str, Any] = {"use": dataset}
    for field in fields or []:
        apply_override(table, field.removeprefix("dataset."))
    facts = getattr(find("dataset", dataset), "facts", None)
    try:
        built = build("dataset", table)
    except StriateError:
        if facts is not None and "path" not in table and not quiet:
            typer.echo(f"{facts}")
        raise
    with using(Machine(quiet=quiet)):
        found = examine(built, numbers=not quiet)
    for line in found.wrong if quiet else [*found.findings, *found.lines]:
        typer.echo(f"{line}")
    if found.foreign and facts is not None and not quiet:
        typer.echo(f"{facts}")
    if found.unopened and not found.wrong:
        raise StriateError(found.unopened)
    if found.wrong:
        if found.unopened and not quiet:
            typer.echo(f"not opened: {found.unopened}")
        raise typer.Exit(1)


def twin(
    dataset: Annotated[str, typer.Argument(help="Name of a dataset: see `striate list datasets`.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder.")],
    size: Annotated[str, typer.Option(help="tiny or full.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Another seed, another made-up brain.")] = 0,
) -> None:
    """Write a made-up copy of a dataset's layout, whose right answers are known."""
    from striate.errors import RecipeError
    from striate.registry import find

    if size not in ("tiny", "full"):
        raise RecipeError(f"size {size!r}: a twin is tiny or full")
    known = find("dataset", dataset).twin(out, size, seed)  # type: ignore[attr-defined]
    typer.echo(known.to_string(index=False))
    typer.echo(f"written to {out}")


def check_submission(
    path: Annotated[Path, typer.Argument(help="What would be handed in: a file, zip or folder.")],
    dataset: Annotated[
        str, typer.Argument(help="Name of a dataset; default: told by the names inside.")
    ] = "",
    fields: Overrides = None,
) -> None:
    """Tell the first thing that is wrong with a submission to a challenge.

    Without a dataset, or without its path, against the official shapes; with its path, against
    that copy. Exit status: 0 fine, 1 something is wrong, 2 no submission or no challenge.
    """
    from striate.datasets.submissions import check, recognised, unchecked
    from striate.errors import DataError, FileError
    from striate.recipe import apply_override
    from striate.registry import build, find

    if not path.exists():
        raise FileError(f"no submission {path}; check the path")
    if not dataset or "=" in dataset:
        fields, dataset = [*([dataset] if dataset else []), *(fields or [])], recognised(path)
    table: dict[str, Any] = {"use": dataset}
    for field in fields or []:
        apply_override(table, field.removeprefix("dataset."))
    find("dataset", dataset)
    built = build("dataset", table) if len(table) > 1 else None
    try:
        check(path, dataset, built)
    except (DataError, FileError) as error:
        typer.echo(f"striate: {error}", err=True)
        raise typer.Exit(1) from error
    against = "the official shapes" if built is None else "this copy"
    beware = unchecked(path, dataset, built)
    against += ", as far as they are known" if beware and built is None else ""
    typer.echo(f"{path}: a submission to {dataset} that fits {against}")
    for told in beware:
        typer.echo(f"striate: beware: {told}", err=True)

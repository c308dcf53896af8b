"""The command line: one verb per thing a user wants, and mistakes told in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from striate.errors import StriateError

app = typer.Typer(
    help="Predict brain responses to images, videos and sound.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Fields to set: key=value, by dotted paths.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder of runs.")]
StoreFolder = Annotated[
    Path | None, typer.Option("--store", help="Folder of features and finished tasks.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Batch = Annotated[int, typer.Option(help="Stimuli per forward pass.")]
Threads = Annotated[int, typer.Option(help="Threads of numerical libraries; 0: all.")]
Scheduler = Annotated[str, typer.Option(help="Address of a Dask scheduler.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]


def _machine(
    store: Path | None, device: str, batch: int, threads: int, scheduler: str, quiet: bool
) -> Any:
    from striate.machine import Machine

    given: dict[str, Any] = {"device": device, "batch": batch, "scheduler": scheduler}
    given |= {"quiet": quiet}
    given |= {"store": store} if store else {}
    given |= {"threads": threads} if threads else {}
    return Machine(**given)


@app.callback()
def _root() -> None:
    """Predict brain responses to images, videos and sound."""


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a .toml file.")],
    overrides: Overrides = None,
    out: Out = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")
    ] = False,
    store: StoreFolder = None,
    device: Device = "auto",
    batch: Batch = 16,
    threads: Threads = 0,
    scheduler: Scheduler = "",
    quiet: Quiet = False,
) -> None:
    """Fit, predict, score and report what a recipe says."""
    from striate.machine import using
    from striate.recipe import load_recipe
    from striate.run import describe_plan, run_recipe

    loaded = load_recipe(recipe, overrides or [])
    machine = _machine(store, device, batch, threads, scheduler, quiet)
    name = recipe if not recipe.endswith(".toml") else Path(recipe).stem
    if dry_run:
        with using(machine):
            typer.echo(describe_plan(loaded))
        return
    report = run_recipe(loaded, out, machine, name)
    if quiet:
        typer.echo(report.folder)
        return
    typer.echo(report.in_words())


def main() -> None:
    """Run the command line; a user's mistake ends with one sentence and status 2."""
    try:
        app()
    except StriateError as error:
        typer.echo(f"striate: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Verbs about finished runs: what they predict, compared, as maps and as submissions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.cli.options import (
    Batch,
    Device,
    Memory,
    Quiet,
    Scheduler,
    StoreFolder,
    Threads,
    machine_of,
)


def submit(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path | None, typer.Option("--out", help="Default: in the run's folder.")] = None,
) -> None:
    """Write the file that a challenge asks for from the predictions of a run."""
    from striate.recipe import load_recipe
    from striate.registry import build
    from striate.report import read_run

    report = read_run(folder)
    recipe = load_recipe(folder / "recipe.toml")
    dataset = build("dataset", recipe.dataset, recipe.base)
    typer.echo(dataset.write_submission(report.predicted, out or folder / "submission"))
    for told in getattr(dataset, "submission_warnings", list)():
        typer.echo(f"striate: beware: {told}", err=True)


def export(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of maps.")],
    score: Annotated[str, typer.Option(help="Default: the run's first.")] = "",
    member: Annotated[list[str] | None, typer.Option(help="Default: all.")] = None,
    like: Annotated[
        str, typer.Option(help="A brain file with the grid of voxels, such as their mask.")
    ] = "",
    kind: Annotated[str, typer.Option(help=".nii.gz, .nii, .mgh, .mgz or .gii.")] = "",
    predictions: Annotated[bool, typer.Option("--predictions", help="Those, too.")] = False,
) -> None:
    """Write scores and ceilings of a run as maps of the brain."""
    from striate.report import read_run
    from striate.report.maps import export_maps

    found = read_run(folder)
    typer.echo(export_maps(found, out, score, member or (), like, kind, predictions))


def predict(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    images: Annotated[Path, typer.Option("--images", help="Folder or zip of new images.")],
    out: Annotated[Path | None, typer.Option("--out", help="Default: in the run's folder.")] = None,
    store: StoreFolder = None,
    device: Device = "auto",
    batch: Batch = 16,
    threads: Threads = 0,
    memory: Memory = 0,
    scheduler: Scheduler = "",
    quiet: Quiet = False,
) -> None:
    """Predict responses to new images with the model of a run, fitted on all its data."""
    from striate.media import list_images
    from striate.recipe import load_recipe
    from striate.run import predict_images
    from striate.store import save_responses

    machine = machine_of(store, device, batch, threads, scheduler, quiet, memory)
    recipe = load_recipe(folder / "recipe.toml")
    found = predict_images(recipe, [str(f) for f in list_images(images)], machine)
    place = out or folder / "predicted"
    for subject, block in found.items():
        save_responses(place / (subject or "all"), block)
        block.to_pandas().to_csv(place / f"{subject or 'all'}.csv", float_format="%.6g")
    typer.echo(f"{place}: {sum(b.shape[0] for b in found.values())} rows")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.")],
    members: Annotated[
        str, typer.Option(help="answer: the last member of each run; all: every member.")
    ] = "answer",
    score: Annotated[str, typer.Option(help="Default: the first run's headline.")] = "",
    by: Annotated[str, typer.Option(help="roi, subject or both.")] = "roi",
    out: Annotated[Path, typer.Option("--out", help="Folder of the comparison.")] = Path(
        "comparison"
    ),
    draws: Annotated[int, typer.Option(help="Resamplings of the stimuli.")] = 1000,
    store: StoreFolder = None,
    threads: Threads = 0,
    memory: Memory = 0,
    quiet: Quiet = False,
) -> None:
    """Compare models of runs on the rows and targets that all of them predicted."""
    from striate.run import compare as compared

    machine = machine_of(store, "auto", 16, threads, "", quiet, memory)
    found = compared(
        runs, members=members, score=score, by=by, out=out, draws=draws, machine=machine
    )
    typer.echo(found.folder if quiet else found.in_words())

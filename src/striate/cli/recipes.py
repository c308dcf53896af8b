"""Verbs about what can be done: recipes, their parts, and runs of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from striate.cli.options import (
    Batch,
    Device,
    Memory,
    Out,
    Overrides,
    Quiet,
    Scheduler,
    StoreFolder,
    Threads,
    machine_of,
)


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
    memory: Memory = 0,
    scheduler: Scheduler = "",
    quiet: Quiet = False,
) -> None:
    """Fit, predict, score and report what a recipe says."""
    from striate.machine import using
    from striate.recipe import load_recipe
    from striate.run import describe_plan, run_recipe

    loaded = load_recipe(recipe, overrides or [])
    machine = machine_of(store, device, batch, threads, scheduler, quiet, memory)
    name = recipe if not recipe.endswith(".toml") else Path(recipe).stem
    if dry_run:
        with using(machine):
            typer.echo(describe_plan(loaded))
        if script := machine.job_script():
            typer.echo(f"\n{script}")
        return
    report = run_recipe(loaded, out, machine, name)
    if quiet:
        typer.echo(report.folder)
        return
    typer.echo(report.in_words())


def demo(
    out: Out = Path("runs"),
    store: StoreFolder = None,
    quiet: Quiet = False,
) -> None:
    """Run the main job on a made-up brain whose right answer is known."""
    import tempfile

    from striate.recipe import load_recipe
    from striate.registry import find
    from striate.run import run_recipe

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "twin"
        known = find("dataset", "folder").twin(data)  # type: ignore[attr-defined]
        machine = machine_of(store or Path(folder) / "store", "auto", 16, 0, "", quiet)
        report = run_recipe(load_recipe("demo", [f"dataset.path={data}"]), out, machine, "demo")
    scores, members = report.scores, report.summary["members"]
    found = scores[(scores["score"] == "pearson") & (scores["member"] == "stack")]
    typer.echo("Pearson correlation of predicted and measured responses, median over targets")
    typer.echo(f"{'subject':10s}{'region':8s}{'known':>8s}{'found':>8s}")
    for line in known.itertuples():
        here = found[(found["subject"] == line.subject) & (found["roi"] == line.roi)]
        typer.echo(f"{line.subject:10s}{line.roi:8s}{line.score:8.3f}{here['value'].median():8.3f}")
    for name, entry in members.items():
        regions = {r: v["median"] for r, v in entry["pearson"]["by_roi"].items()}
        told = ", ".join(f"{r} {v:.3f}" for r, v in regions.items())
        typer.echo(f"member {name:10s} {told}")
    typer.echo(report.in_words())


def list_names(
    kind: Annotated[
        str, typer.Argument(help="recipes, datasets, extractors, encoders, steps or splits.")
    ] = "",
) -> None:
    """List what can be named in a recipe."""
    from striate.errors import RecipeError, unknown
    from striate.recipe import shipped
    from striate.registry import TABLES, names

    kinds = {f"{k}s": k for k in TABLES}
    if kind and kind not in (*kinds, "recipes"):
        raise RecipeError(unknown("kind", kind, [*kinds, "recipes"]))
    for title in [kind] if kind else ["recipes", *kinds]:
        found = shipped() if title == "recipes" else sorted(names(kinds[title]))
        typer.echo(f"{title:12s}{', '.join(found)}")


def show(
    name: Annotated[str, typer.Argument(help="A recipe's name or file, or the folder of a run.")],
    overrides: Overrides = None,
) -> None:
    """Show a recipe as it would run, or the numbers of a finished run."""
    from striate.errors import RecipeError
    from striate.recipe import load_recipe
    from striate.report import read_run

    if Path(name).is_dir():
        if overrides:
            raise RecipeError(
                f"{name} is a finished run, whose fields cannot be set ({overrides[0]}): name a"
                " recipe"
            )
        report = read_run(Path(name))
        typer.echo(report.summary["title"] or report.summary["recipe"])
        typer.echo(report.in_words())
    else:
        typer.echo(load_recipe(name, overrides or []).toml())


def nodes(
    model: Annotated[str, typer.Argument(help="FAMILY:MODEL, such as timm:resnet50.")],
    size: Annotated[int, typer.Option(help="Pixels of a square image; 0: the model's own.")] = 0,
) -> None:
    """List the nodes of a network and the shape of each one's output."""
    from striate.errors import RecipeError
    from striate.extractors import describe
    from striate.registry import build, names

    family, _, name = model.partition(":")
    if not name or "/" in family or "." in family:
        family, name = ("module", model) if ":" in model else ("", model)
    if family not in names("extractor"):
        raise RecipeError(
            f"{model!r} is not of the form FAMILY:MODEL, such as torchvision:squeezenet1_0,"
            " timm:resnet50, package.module:Class or ./file.py:Class"
        )
    table: dict[str, Any] = {"use": family, "model": name, "weights": "none", "nodes": ["*"]}
    for node, shape in describe(build("extractor", table | ({"size": size} if size else {}))):
        typer.echo(f"{node:40s} {' × '.join(map(str, shape))}")


def look(
    file: Annotated[str, typer.Argument(help="An image, a film or a sound.")],
    overrides: Overrides = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="Whose features: a shipped recipe, or a .toml file.")
    ] = "folder/films",
    out: Annotated[Path, typer.Option("--out", help="A PNG file.")] = Path("look.png"),
) -> None:
    """Draw what the features of a recipe see of one file."""
    from striate.errors import FileError, RecipeError
    from striate.recipe import load_recipe
    from striate.report.looks import composed
    from striate.run import look as look_at

    if out.suffix.lower() != ".png":
        raise RecipeError(f"--out {out}: the picture is a PNG, so name a file that ends in .png")
    found = look_at(load_recipe(recipe, overrides or []), file)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(composed(found))
    except OSError as error:
        raise FileError(f"{out} cannot be written: {error}") from error
    for name, why in found.without.items():
        typer.echo(f"{name:12s}no picture: {why}")
    typer.echo(f"{out}: what {', '.join(k.name for k in found.seen)} see of {file}")

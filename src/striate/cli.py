"""The command line: one verb per thing a user wants, and mistakes told in one sentence."""

from __future__ import annotations

import sys
import warnings
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
Batch = Annotated[int, typer.Option(help="Stimuli per forward pass; 0: found by trying.")]
Threads = Annotated[int, typer.Option(help="Threads of numerical libraries; 0: all.")]
Scheduler = Annotated[
    str,
    typer.Option(help="Who works: processes:N, slurm:FILE.toml or tcp://host:port of Dask."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]


def _machine(
    store: Path | None, device: str, batch: int, threads: int, scheduler: str, quiet: bool
) -> Any:
    from striate.machine import Machine, keep_freed_memory

    keep_freed_memory()
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
        if script := machine.job_script():
            typer.echo(f"\n{script}")
        return
    report = run_recipe(loaded, out, machine, name)
    if quiet:
        typer.echo(report.folder)
        return
    typer.echo(report.in_words())


@app.command()
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
        machine = _machine(store or Path(folder) / "store", "auto", 16, 0, "", quiet)
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


@app.command("list")
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


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe's name or file, or the folder of a run.")],
) -> None:
    """Show a recipe as it would run, or the numbers of a finished run."""
    from striate.recipe import load_recipe
    from striate.report import read_run

    if Path(name).is_dir():
        report = read_run(Path(name))
        typer.echo(report.summary["title"] or report.summary["recipe"])
        typer.echo(report.in_words())
    else:
        typer.echo(load_recipe(name).toml())


@app.command()
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


@app.command()
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


@app.command()
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
    from striate.errors import StriateError
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command("check-submission")
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


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    images: Annotated[Path, typer.Option("--images", help="Folder or zip of new images.")],
    out: Annotated[Path | None, typer.Option("--out", help="Default: in the run's folder.")] = None,
    store: StoreFolder = None,
    device: Device = "auto",
    batch: Batch = 16,
    threads: Threads = 0,
    scheduler: Scheduler = "",
    quiet: Quiet = False,
) -> None:
    """Predict responses to new images with the model of a run, fitted on all its data."""
    from striate.media import list_images
    from striate.recipe import load_recipe
    from striate.run import predict_images
    from striate.store import save_responses

    machine = _machine(store, device, batch, threads, scheduler, quiet)
    recipe = load_recipe(folder / "recipe.toml")
    found = predict_images(recipe, [str(f) for f in list_images(images)], machine)
    place = out or folder / "predicted"
    for subject, block in found.items():
        save_responses(place / (subject or "all"), block)
        block.to_pandas().to_csv(place / f"{subject or 'all'}.csv", float_format="%.6g")
    typer.echo(f"{place}: {sum(b.shape[0] for b in found.values())} rows")


def main() -> None:
    """Run the command line; a user's mistake ends with one sentence and status 2."""
    warnings.formatwarning = lambda message, *_, **__: f"striate: {message}\n"
    try:
        app()
    except StriateError as error:
        typer.echo(f"striate: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()

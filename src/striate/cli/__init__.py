"""The command line: one verb per thing a user wants, and mistakes told in one sentence."""

from __future__ import annotations

import sys
import warnings

import typer

from striate.cli import data, finished, recipes
from striate.errors import StriateError

app = typer.Typer(
    help="Predict brain responses to images, videos and sound.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """Predict brain responses to images, videos and sound."""


for _verb in (
    recipes.run,
    recipes.demo,
    recipes.list_names,
    recipes.show,
    recipes.nodes,
    recipes.look,
    data.check,
    data.twin,
    finished.submit,
    finished.export,
    data.check_submission,
    finished.predict,
    finished.compare,
):
    app.command({"list_names": "list"}.get(_verb.__name__))(_verb)


def main() -> None:
    """Run the command line; a user's mistake ends with one sentence and status 2."""
    warnings.formatwarning = lambda message, *_, **__: f"striate: {message}\n"
    try:
        app()
    except StriateError as error:
        typer.echo(f"striate: {error}", err=True)
        sys.exit(2)

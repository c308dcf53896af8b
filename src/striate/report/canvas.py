"""One look for all figures, light and dark, the same bytes every time."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 5.4
"""Inches; the page shows figures at about 113 px per inch, a phone at 65."""
DOTS = 200
"""Pixels per inch."""


@dataclass(frozen=True)
class Theme:
    """Colours of a figure; `lines` can be told apart by the colour-blind (Okabe & Ito, 2008)."""

    face: str
    ink: str
    soft: str
    grid: str
    fill: str
    accent: str
    mark: str
    lines: tuple[str, ...]
    map: str = "viridis"


LIGHT = Theme(
    face="#ffffff",
    ink="#1c2126",
    soft="#5c6670",
    grid="#e3e6ea",
    fill="#a9c8e6",
    accent="#0067a8",
    mark="#c2410c",
    lines=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#e69f00", "#555f69"),
)
DARK = Theme(
    face="#1a1e23",
    ink="#e6e9ec",
    soft="#a0a9b2",
    grid="#323941",
    fill="#2f5878",
    accent="#6cb8ee",
    mark="#fb923c",
    lines=("#56b4e9", "#f08a3c", "#2cc498", "#e29bc4", "#f0e442", "#9ccbf0", "#e6b34d", "#b4bcc4"),
)


@dataclass(frozen=True)
class Picture:
    """A figure as PNG bytes for light and dark pages, with its words."""

    name: str
    alt: str
    caption: str
    light: bytes
    dark: bytes
    size: tuple[int, int]


Painter: TypeAlias = Callable[[Figure, Theme], None]


def picture(name: str, alt: str, caption: str, height: float, paint: Painter) -> Picture:
    """Draw a figure of `height` inches in both themes."""
    light, dark = (_png(paint, theme, height) for theme in (LIGHT, DARK))
    size = (round(WIDTH * DOTS), round(height * DOTS))
    return Picture(name, alt, caption, light, dark, size)


def _png(paint: Painter, theme: Theme, height: float) -> bytes:
    with matplotlib.style.context(["default", _style(theme)]), warnings.catch_warnings():
        # Names in a script that the font lacks are drawn as boxes; the tables have them right.
        warnings.filterwarnings("ignore", message=r"(?s).*Glyph.*")
        warnings.filterwarnings("ignore", message=".*constrained_layout.*")
        figure = Figure(figsize=(WIDTH, height), dpi=DOTS, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        paint(figure, theme)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # A palette makes the page three times smaller; nothing of the day or the machine is written.
    image = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()


def _style(theme: Theme) -> dict[str, Any]:
    return {
        "font.family": ["DejaVu Sans"],
        "font.size": 9.0,
        "axes.labelsize": 9.0,
        "axes.titlesize": 9.5,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 8.5,
        "figure.facecolor": theme.face,
        "savefig.facecolor": theme.face,
        "axes.facecolor": theme.face,
        "axes.edgecolor": theme.soft,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "text.color": theme.ink,
        "xtick.color": theme.soft,
        "ytick.color": theme.soft,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "legend.frameon": False,
        "text.parse_math": False,
        "text.usetex": False,
    }


def label(name: object, longest: int = 34) -> str:
    """A name as it fits into a figure: printable, and shortened in its middle."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(name)).split())
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def labels(names: Sequence[object], longest: int = 34) -> list[str]:
    """Names as they fit into a figure; what long ones all begin with gives way to an ellipsis
    where they could not be told apart otherwise.

    >>> labels(["mean", "ridge@net.layer1,size=64", "ridge@net.layer12,size=64"], 16)
    ['mean', '…1,size=64', '…12,size=64']
    """
    plain = [label(n, 10_000) for n in names]
    long = [n for n in plain if len(n) > longest]
    start = 0
    if len(long) > 1 and len({label(n, longest) for n in long}) < len(set(long)):
        shared = beginning(long)
        start = len(shared.rstrip("0123456789"))
        long = [n for n in plain if n.startswith(shared)]
    return [label(f"…{n[start:]}" if start and n in long else n, longest) for n in plain]


def beginning(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    same = (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(same, min(len(first), len(last)))]


def names_on_y(axes: Axes, names: Sequence[object], longest: int = 34) -> None:
    """Rows with a name each, the first on top."""
    axes.set_yticks(range(len(names)), labels(names, longest))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")

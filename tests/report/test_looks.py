"""Pictures of what features see: on the page, as files, and on one sheet."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from striate.report import Look, Looks, read_run, write_run
from striate.report.looks import BYTES, HEIGHT, NARROW, WIDTH, composed, files, looks, png

from .made import HOSTILE, NASTY, people, predictions, report_of
from .test_page import checked, written

GREY = np.repeat(np.linspace(0, 255, 128 * 128).astype(np.uint8).reshape(128, 128, 1), 3, axis=2)
NOISE = np.random.default_rng(0).integers(0, 256, (300, 1700, 3)).astype(np.uint8)


def opened(content):
    return Image.open(io.BytesIO(content))


@pytest.fixture(scope="module")
def report():
    truth = people(ceilings=False, targets=6, rows=30)
    seen = (
        Look("rgb", NOISE, "Some of the frames."),
        Look(HOSTILE, GREY, NASTY),
        Look("../edges", GREY, "Lines."),
        Look("../../edges", GREY[::-1]),
    )
    found = report_of(truth, predictions(truth, ["weak", "best"]))
    return replace(found, looks=Looks(f"film {HOSTILE}", seen, {"words": "draws no picture"}))


def test_the_page_shows_what_each_feature_sees(report, tmp_path):
    page, parsed = written(report, tmp_path / "run")
    section = page.partition('id="looks"')[2].partition("</section>")[0]
    assert section.count("<img ") == section.count("<figcaption>") == 3
    assert "What each feature sees" in parsed.words and f"film {HOSTILE}" in parsed.words
    for word in ("rgb", "Some of the frames.", f"{HOSTILE}, ../edges"):
        assert word in parsed.words
    seen = [a for t, a in parsed.tags if t == "img" and a["alt"].startswith("What the features")]
    assert "rgb" in seen[0]["alt"] and len({a["src"] for a in seen}) == 3
    assert [int(a["width"]) for a in seen] == [WIDTH, NARROW, NARROW]
    assert [int(a["height"]) for a in seen] == [round(WIDTH * 300 / 1700), NARROW, NARROW]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    there = {p.name for p in (tmp_path / "run" / "figures").glob("sees_*")}
    assert len(there) == 4 and "sees_rgb.png" in there
    assert all(re.fullmatch(r"sees_[\w.=-]+\.png", name) for name in there)


@pytest.mark.parametrize("none", [None, Looks("a", (), {"rgb": "no file"})])
def test_without_a_picture_there_is_no_section(report, tmp_path, none):
    page, _ = written(replace(report, looks=none), tmp_path / "run")
    assert looks(none) == [] and files(none) == {}
    assert 'id="looks"' not in page and "sees" not in page
    assert not list((tmp_path / "run" / "figures").glob("sees_*"))


def test_a_run_is_read_back_without_its_pictures(report, tmp_path):
    folder = write_run(report, tmp_path / "run")
    checked((folder / "report.html").read_text("utf-8"))
    assert read_run(folder).looks is None


def test_small_pictures_are_exact_and_large_ones_keep_their_colours():
    assert (np.asarray(opened(png(GREY))) == GREY).all()
    tiles = NOISE[:10, :20] // 2
    large = np.repeat(np.repeat(tiles, 20, axis=0), 20, axis=1) + NOISE[:200, :400] // 32
    few = opened(png(large))
    assert few.mode == "P"
    close = np.asarray(few.convert("RGB").resize((20, 10), Image.Resampling.BOX))
    # The finer noise is 3.5 on average.
    assert np.abs(close.astype(float) - tiles - 3.5).mean() < 5


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 700), st.integers(1, 1000), st.integers(0, 3))
def test_pictures_stay_small_and_keep_their_shape(rows, columns, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    found = png(pixels)
    width, height = opened(found).size
    assert len(found) <= BYTES and width <= min(WIDTH, columns) and height <= min(HEIGHT, rows)
    # Rounding to whole pixels, and more than once, is all that changes the proportions.
    assert abs(width * rows - height * columns) <= 2 * (rows + columns)


def test_one_sheet_holds_every_picture_below_its_name(report):
    sheet = np.asarray(opened(composed(report.looks)))
    at = [
        (r, c)
        for block in (GREY, GREY[::-1])
        for r in range(sheet.shape[0] - 127)
        for c in (16,)
        if (sheet[r : r + 128, c : c + 128] == block).all()
    ]
    assert len(at) == 2 and at[0][0] < at[1][0]
    for row, _ in at:
        assert (sheet[row - 23 : row - 8] < 200).any(), "a name stands above"
    assert (sheet[:, :16] == 255).all() and (sheet[-16:] == 255).all()

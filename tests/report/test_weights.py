"""Weights and optimistic scores of ensembles, from the notes of their fits to table and map."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.report import read_run, write_run
from striate.report.fits import fits as fits_section
from striate.report.page import pictures, render
from striate.report.weights import TOLD, heat, told, weights

from .made import HOSTILE, NASTY, ridge_report


def fit(call="fold0", member="mix", r=0.4, targets=10, entries=None):
    entries = [("s1", "V1", 4, {"a": 0.75, "b": 0.25})] if entries is None else entries
    lines = [{"subject": s, "roi": v, "targets": n, "of": of} for s, v, n, of in entries]
    note = {TOLD: r, "weights": lines}
    return {"call": call, "member": member, "targets": targets, "encoder": note, "steps": []}


FITS = [
    fit(
        r=0.5, entries=[("s1", "V1", 3, {"a": 1.0, "b": 0.0}), ("s1", HOSTILE, 1, {"a": 0, "b": 1})]
    ),
    fit(r=0.2, targets=20, entries=[("s1", "V1", 1, {"a": 0.2, "b": 0.8})]),
    fit("fold1", r=0.3, entries=[("s2", "V1", 4, {"a": 0.6, "b": 0.4})]),
    {"call": "fold0", "member": "ridge", "targets": 10, "encoder": {"features": 3}},
]
SUMMARY = {"members": {"mix": {"pearson": {"mean": 0.25}}, "ridge": {"pearson": {"mean": 0.2}}}}


def test_weights_are_means_over_targets_and_fits():
    table = weights(FITS)
    assert set(table["member"]) == {"mix"}
    line = table[(table["call"] == "fold0") & (table["roi"] == "V1") & (table["of"] == "a")]
    assert line["weight"].item() == pytest.approx((3 * 1.0 + 1 * 0.2) / 4)
    assert line["targets"].item() == 4
    assert len(table) == 6
    assert weights([]).empty and weights([FITS[-1]]).empty


def test_optimistic_scores_stand_beside_held_out_ones():
    page = "\n".join(told(FITS, SUMMARY))
    assert "optimistic" in page and "<script>" not in page
    assert "0.3" in page and "0.25" in page  # (10 x .5 + 20 x .2 + 10 x .3) / 40
    assert '<td class="n">0.05' in page
    # V1 of a over both folds: (3.2 + 4 x 0.6) / 8
    assert ">0.700</td>" in page
    assert told([FITS[-1]], SUMMARY) == []
    without = "\n".join(told(FITS, {"members": {}}))
    assert "held-out" in without


def test_a_held_out_score_that_is_higher_is_explained():
    assert "fitted to fewer rows" not in "\n".join(told(FITS, SUMMARY))
    page = "\n".join(told(FITS, {"members": {"mix": {"pearson": {"mean": 0.35}}}}))
    assert "−0.05" in page and "fitted to fewer rows" in page


def colours(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)


def test_negative_weights_are_seen():
    (plain,) = heat(FITS)
    assert plain.name == "weights" and "negative" not in plain.caption
    (signed,) = heat([fit(entries=[("s1", "V1", 4, {"a": 1.2, "b": -1.2, "c": 0.0})])])
    assert "negative ones are blue" in signed.caption
    pixels = colours(signed.light).astype(int)
    blue = (pixels[:, 2] - pixels[:, 0] > 60).sum()
    red = (pixels[:, 0] - pixels[:, 2] > 60).sum()
    assert min(blue, red) > 5000 and 0.3 < blue / red < 3


@pytest.mark.slow
def test_many_ensembles_members_and_regions_fit():
    entries = [
        ("s1", f"V{k}", 2, {f"ridge@net.layer{m},size=64": 1 / 42 for m in range(42)})
        for k in range(30)
    ]
    found = heat([fit(member=f"mix{k}", entries=entries) for k in range(5)])
    assert [p.name for p in found] == ["weights", "weights-2", "weights-3", "weights-4"]
    assert "2 members of least weight" in found[0].caption


def test_page_and_folder_hold_them(tmp_path):
    base = ridge_report(targets=6, rows=12)
    mine = [
        fit(member="best", entries=[("s<b>2", r, 3, {HOSTILE: -0.2, NASTY: 1.2, "c": 0.0})])
        for r in ("V1", HOSTILE, "")
    ]
    report = replace(base, fits=[*base.fits, *mine])
    page = render(report, pictures(report))
    assert 'id="weights"' in page and "Weights of ensembles" in page
    assert "<script>alert" not in page
    assert "'of'" not in fits_section(report.fits)[0] and "subject" not in fits_section(mine)[0]
    folder = write_run(report, tmp_path / "run")
    table = pd.read_csv(folder / "weights.csv", keep_default_na=False)
    assert list(table["weight"][:3]) == [-0.2, 1.2, 0.0]
    assert (folder / "figures" / "weights.png").is_file()
    again = weights(read_run(folder).fits)
    np.testing.assert_allclose(again["weight"], table["weight"])
    assert json.loads((folder / "fits.json").read_text())[-1]["encoder"]["weights"]
    plain = write_run(base, tmp_path / "plain")
    assert not (plain / "weights.csv").exists()
    assert 'id="weights"' not in (plain / "report.html").read_text()

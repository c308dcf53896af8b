"""The page holds every number of the summary, and nothing that a name could smuggle in."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from striate.report.page import pictures, write_page
from striate.report.words import number, percent, span

from .made import HOSTILE, NASTY, RECIPE, people, predictions, rdm_report, report_of, ridge_report

VOID = {"meta", "link", "img", "source", "br", "hr"}


class Parsed(HTMLParser):
    """Tags, attributes, cells of tables, and everything that is not balanced."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.wrong, self.cells, self.ids = [], [], [], [], set()
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids.add(dict(attrs).get("id"))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.words += data
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def written(report, folder):
    folder.mkdir(parents=True, exist_ok=True)
    write_page(report, folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    return page, checked(page)


def checked(page):
    """What holds for every page: balanced, harmless, self-contained, described, small."""
    parsed = Parsed(page)
    assert not parsed.wrong
    assert not parsed.open
    kinds = {t for t, _ in parsed.tags}
    assert not kinds & {"script", "iframe", "object", "form", "b"}
    for tag, attrs in parsed.tags:
        assert not [a for a in attrs if a.startswith("on")]
        for name in ("src", "srcset", "href"):
            assert attrs.get(name, "#").startswith(("data:", "#"))
        if tag == "img":
            assert len(attrs["alt"]) > 20
        if tag == "a":
            assert attrs["href"][1:] in parsed.ids
    assert "url(" not in page.split("</style>")[0]
    assert "@import" not in page
    assert "\x00" not in page
    assert len(page) < 3_000_000
    assert "nan" not in [c.strip() for c in parsed.cells]
    return parsed


@pytest.fixture(scope="module")
def ridge():
    return ridge_report()


@pytest.fixture(scope="module")
def page(ridge, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return (*written(ridge, folder), folder)


def test_every_number_of_the_regions_stands_in_the_table(ridge, page):
    _, parsed, _ = page
    entry = ridge.summary["scores"]["pearson"]
    for name, own in entry["by_roi"].items():
        start = [c.replace("\N{REPLACEMENT CHARACTER}", "\x00") for c in parsed.cells].index(name)
        row = parsed.cells[start : start + 8]
        assert row[1:] == [
            str(own["targets"]),
            number(own["median"]),
            span(entry["resampled"]["by_roi"][name]),
            number(own["mean"]),
            number(entry["ceiling"]["by_roi"][name]["median"]),
            percent(entry["normalised"]["by_roi"][name]["median"]),
            str(int((answer(ridge, name)["q"] <= 0.05).sum())),
        ]


def answer(report, region):
    table = report.scores
    table = table[(table["member"] == "best") & (table["score"] == "pearson")]
    return table[[region in r.split(";") for r in table["roi"]]]


def test_headline_members_subjects_expectation_and_leak_are_told(ridge, page):
    _, parsed, _ = page
    summary = ridge.summary
    entry = summary["scores"]["pearson"]
    for wanted in (
        number(entry["median"]),
        span(entry["resampled"]["interval"]),
        percent(entry["normalised"]["median"]),
        "features conv1 and conv2 of squeezenet1_0".removeprefix("features "),
        "1 pair of nearly identical stimuli stands on both sides",
        "the score goes from 0.520 to 0.470",
        "as published",
        "https://example.org/",
        "0.913",
        "2 min 17 s",
        "2026-01-01 12:00",
    ):
        assert wanted in parsed.words, wanted
    for name, member in summary["members"].items():
        row = parsed.cells[parsed.cells.index(name) :][:4]
        assert row[2:] == [number(member["pearson"]["median"]), number(member["pearson"]["mean"])]
    for name, own in entry["by_subject"].items():
        assert number(own["median"]) in parsed.cells[parsed.cells.index(name) :][:4]
    for ends in (c["interval"] for c in summary["comparisons"].values()):
        assert span(ends) in parsed.cells
    assert "intervals are of medians over targets; striate compare tells the mean" in parsed.words


def test_hostile_names_stay_text(page):
    text, parsed, _ = page
    assert HOSTILE not in text
    assert "<img src=x" not in text
    assert HOSTILE in parsed.words
    assert NASTY.replace("\x00", "\N{REPLACEMENT CHARACTER}") in parsed.cells


def test_figures_decode_and_are_those_of_the_page(page):
    text, _, folder = page
    files = sorted(p.stem for p in (folder / "figures").iterdir())
    assert files == ["ceiling", "distribution", "layers", "members"]
    inside = re.findall(r'(?:src|srcset)="data:image/png;base64,([^"]+)"', text)
    assert len(inside) == 2 * len(files)
    decoded = {base64.b64decode(i) for i in inside}
    for name in files:
        raw = (folder / "figures" / f"{name}.png").read_bytes()
        assert raw in decoded
        image = Image.open(io.BytesIO(raw))
        image.load()
        assert image.width == 1080
        assert not image.info.get("Software")
        assert np.ptp(np.asarray(image.convert("L"))) > 100


def test_same_report_same_bytes(ridge, page, tmp_path):
    text, _, folder = page
    machine = {**ridge.machine, "seconds": 1.0, "date": "2027-02-02"}
    again, _ = written(replace(ridge, machine=machine), tmp_path / "again")
    changed = [(a, b) for a, b in zip(text.splitlines(), again.splitlines(), strict=True) if a != b]
    assert len(changed) == 3
    for one in (folder / "figures").iterdir():
        assert one.read_bytes() == (tmp_path / "again/figures" / one.name).read_bytes()


def test_dissimilarities(tmp_path):
    _, parsed = written(rdm_report(), tmp_path)
    assert (tmp_path / "figures/rdms.png").is_file()
    assert "official score of algonauts2019 is 17.7 % of the noise ceiling" in parsed.words
    assert "targets without signal, it is −3.25 %" in parsed.words
    cells = parsed.cells[parsed.cells.index("official (%)") - 1 :]
    assert cells[:5] == ["region", "official (%)", "corrected (%)", "R²", "signed R²"]
    assert cells[5:10] == ["all", "17.7", "−3.25", "", ""]
    assert cells[10:15] == ["EVC", "15.0", "−14.0", "0.020", "−0.010"]
    assert "official: flat 0" in parsed.words
    for told in ("algonauts2019, official", "algonauts2019, corrected"):
        assert told in parsed.words
    assert "dissimilarities between stimuli" in parsed.words


def test_members_show_both_official_scores_with_their_unit(tmp_path):
    truth = people()
    named = {"unit": "percent", "name": "algonauts2023", "by_roi": {}}
    own = {"official": named | {"value": 41.7}, "corrected": named | {"value": 62.5}}
    report = report_of(truth, predictions(truth, ["one", "two"]), official=own)
    _, parsed = written(report, tmp_path)
    start = parsed.cells.index("official (%)")
    assert parsed.cells[start : start + 2] == ["official (%)", "corrected (%)"]
    assert parsed.cells[start:].count("41.7") == parsed.cells[start:].count("62.5") == 2
    report.summary["final"] = {"two": own | {"pearson": report.summary["scores"]["pearson"]}}
    _, parsed = written(report, tmp_path / "again")
    assert "set aside as a test" in parsed.words


def test_permuted_images_and_stimuli_set_aside(tmp_path):
    report = rdm_report()
    entry = report.summary["scores"]["spearman"]
    entry["permutation_p"] = {"EVC": 0.031, HOSTILE: 0.2}
    final = {"median": 0.123, "mean": 0.119, "targets": 6, "by_roi": {}}
    report.summary["final"] = {"rdm": {"spearman": final}}
    _, parsed = written(report, tmp_path)
    assert "1 of 2 regions are predicted above chance" in parsed.words
    row = parsed.cells[parsed.cells.index("EVC", parsed.cells.index("p (images permuted)")) :]
    assert "0.031" in row[:7]
    assert "set aside as a test" in parsed.words
    assert {"0.123", "0.119"} <= set(parsed.cells)


def test_time_courses(tmp_path):
    report = rdm_report(times=6)
    _, parsed = written(report, tmp_path)
    assert (tmp_path / "figures/time.png").is_file()
    assert "standard errors over subjects" in parsed.words


def test_without_ceilings_regions_or_other_members(tmp_path):
    truth = people(ceilings=False, regions=())
    truth = {"sub01": truth["sub01"]}
    report = report_of(truth, predictions(truth, ["only"]), recipe="no = [toml")
    report = replace(report, fits=(), machine={})
    report.summary["duplicates"].update(looked_for_near=False, near=0, near_crossing=0)
    report.summary["expect"] = {}
    _, parsed = written(report, tmp_path)
    assert list(pictures(report)) == ["distribution"]
    assert "how much was reachable is open" in parsed.words
    assert "of ceiling" not in parsed.words
    assert not {"members", "ceiling", "fits", "rdms"} & parsed.ids


@pytest.mark.slow
def test_forty_members_and_hundreds_of_fits(tmp_path):
    truth = people(targets=6, rows=20)
    names = [f"m@net.layer{k},net.size={s}" for s in (64, 112) for k in range(20)]
    report = report_of(truth, predictions(truth, names), ("r2",))
    report = replace(report, fits=list(report.fits) * 3)
    _, parsed = written(report, tmp_path)
    with Image.open(tmp_path / "figures/members.png") as image:
        assert 1.5 < image.height / image.width < 3
    assert set(names) < set(parsed.cells)
    assert f"{200 * 3:,} fits" in parsed.words
    assert "fits.json" in parsed.words


def test_nothing_defined(tmp_path):
    truth = people(rows=2, targets=3)
    report = report_of(truth, predictions(truth, ["a", "b"]))
    _, parsed = written(report, tmp_path)
    assert "not defined for any target" in parsed.words
    assert "–" in parsed.words


def test_large_runs_stay_small_and_quick(tmp_path):
    regions = tuple(f"R{k}" for k in range(40))
    truth = people(targets=700, rows=8, regions=regions)
    report = report_of(truth, predictions(truth, ["a"]), ("pearson",))
    text, parsed = written(report, tmp_path)
    assert len(text) < 1_500_000
    assert "R39" in parsed.cells


def test_a_leak_on_purpose_is_flagged(tmp_path):
    truth = people(targets=10, rows=20)
    recipe = RECIPE.replace('use = "stack"', 'use = "stack", leaky_weights = true')
    _, parsed = written(report_of(truth, predictions(truth, ["best"]), recipe=recipe), tmp_path)
    assert "leaks on purpose (member.best.encoder.leaky_weights)" in parsed.words

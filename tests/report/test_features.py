"""What the page and the words tell of features and of stimuli left out."""

from dataclasses import replace

import pytest

from striate.report.features import MOST, features
from striate.report.page import render
from striate.report.words import left_out, verdict

from .made import HOSTILE, people, predictions, report_of

NET = {
    "extracted": 120,
    "found": 1000,
    "spaces": 3,
    "dtypes": ["float16"],
    "seconds": 60.0,
    "bytes": 2_500_000,
    "rounding": 0.00047,
}
PIXELS = {"extracted": 0, "found": 1120, "spaces": 1, "dtypes": ["float32"], "seconds": 0.0}


@pytest.fixture(scope="module")
def report():
    truth = people(ceilings=False, targets=6, rows=30)
    return report_of(truth, predictions(truth, ["weak", "best"]))


def with_gone(report, count):
    gone = [
        {"stimulus": f"{HOSTILE}{k}", "file": f"f{k}.mp4", "error": "ends too soon"}
        for k in range(count)
    ]
    rows = {"sub01": 2 * count, "sub02": 0}
    return replace(report, summary=report.summary | {"left_out": {"stimuli": gone, "rows": rows}})


def test_nothing_is_told_of_nothing(report):
    assert features(report) == []
    assert left_out(report.summary) == ""
    assert 'id="features"' not in render(report, {})


def test_speed_size_and_precision(report):
    told = replace(report, machine=report.machine | {"features": {"net": NET, HOSTILE: PIXELS}})
    page = render(told, {})
    section = page.partition('id="features"')[2].partition("</section>")[0]
    for word in ("net", "120", "1,000", "float16", "1 min 0 s", "2.00", "2.50", "4.7e−04"):
        assert f">{word}<" in section, word
    assert HOSTILE not in page
    assert "rounding error is" in section
    assert page.count("1,000") == section.count("1,000")
    exact = replace(report, machine={"features": {"pixels": PIXELS}})
    assert "rounding" not in "".join(features(exact))


def test_stimuli_left_out_are_told_on_the_page_and_in_words(report):
    told = with_gone(report, 3)
    (beware,) = [w for w in verdict(told) if "left out" in w]
    assert "3 stimuli" in beware and "6 rows" in beware
    page = render(told, {})
    assert "f2.mp4" in page and "ends too soon" in page and "6 of sub01" in page
    assert HOSTILE not in page
    assert f"{HOSTILE}0 (3 in all, with 6 rows): ends too soon" in told.in_words()


def test_long_lists_end(report):
    page = "".join(features(with_gone(report, MOST + 5)))
    assert f"f{MOST - 1}.mp4" in page and f"f{MOST}.mp4" not in page
    assert "summary.json" in page

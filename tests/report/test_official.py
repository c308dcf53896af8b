"""A data set's own score: both versions, their unit, and what they tell by region and subject."""

import re

import pandas as pd

from striate.report import Report
from striate.report.official import official, own_tiles, own_title
from striate.report.words import unit_of, verdict, with_unit

SCORES = {
    "pearson": {"median": 0.3},
    "official": {
        "value": 41.6667,
        "by_roi": {"V1": 100.0, "V2": 25.0},
        "by_subject": {"subj01": 40.0, "subj02": {"value": 43.0}},
        "unit": "percent",
        "name": "algonauts2023",
        "zero_ceilings": 12,
    },
    "corrected": {
        "value": 62.5,
        "by_roi": {"V1": 100.0},
        "unit": "percent",
        "name": "algonauts2023",
    },
}


def cells(page):
    return [
        [re.sub("<[^>]*>", "", c).strip() for c in re.findall("<t[dh].*?</t[dh]>", row)]
        for row in re.findall("<tr.*?</tr>", page, re.S)
    ]


def test_tables_by_region_and_subject_stand_side_by_side():
    page = official(SCORES)
    rows = cells(page)
    assert rows[0] == ["region", "official (%)", "corrected (%)"]
    assert rows[1:4] == [["all", "41.7", "62.5"], ["V1", "100", "100"], ["V2", "25.0", "–"]]
    assert rows[4][0] == "subject"
    assert rows[5:] == [["all", "41.7", "62.5"], ["subj01", "40.0", "–"], ["subj02", "43.0", "–"]]
    assert "official: zero ceilings 12" in page


def test_tiles_title_and_units():
    assert own_tiles(SCORES) == [
        ("algonauts2023, official", "41.7 %", "of the noise ceiling"),
        ("algonauts2023, corrected", "62.5 %", "of the noise ceiling"),
    ]
    assert own_title(SCORES) == "Official score: algonauts2023"
    plain = {"mine": {"value": 0.2134, "by_roi": {}}}
    assert own_tiles(plain) == [("mine", "0.213", "official score")]
    assert own_title(plain) == "Official score: mine"
    assert official(plain) == "" == official({})
    assert (unit_of({"unit": "r"}), with_unit({"value": 0.2, "unit": "r"})) == ("", "0.200")


def test_many_regions_are_folded():
    many = {"official": {"value": 1.0, "by_roi": {f"r{k}": 1.0 for k in range(60)}}}
    assert "<details" in official(many) and len(cells(official(many))) == 62


def test_the_command_line_tells_both_with_units():
    summary = {"scores": SCORES | {"mine": {"value": 0.2, "by_roi": {"V1": None, "V2": 0.5}}}}
    told = Report(recipe="", summary=summary, scores=pd.DataFrame()).in_words().splitlines()
    assert told[1].split() == ["official", "41.67", "%", "(V1", "100,", "V2", "25)"]
    assert told[2].split() == ["corrected", "62.5", "%", "(V1", "100)"]
    assert told[3].split() == ["mine", "0.2", "(V2", "0.5)"]


def test_a_partial_score_is_never_called_official():
    counts = {"not_predicted": 700, "of": 1000}
    scores = {
        "pearson": {"median": 0.3},
        "partial": SCORES["official"] | counts,
        "corrected": SCORES["corrected"] | counts | {"unit": "r"},
    }
    told = "partial score, of 300 of 1,000 targets"
    assert own_tiles(scores) == [
        ("algonauts2023, partial", "41.7 %", told),
        ("algonauts2023, corrected", "62.5", told),
    ]
    assert own_title(scores) == "Partial score: algonauts2023"
    page = official(scores)
    assert cells(page)[0] == ["region", "partial (%)", "corrected"]
    assert f"partial: {told}, zero ceilings 12; corrected: {told}" in page
    summary = {"scores": scores, "headline": "pearson", "member": "a"}
    report = Report(recipe="", summary=summary, scores=pd.DataFrame())
    (line,) = [w for w in verdict(report) if "score, of" in w]
    assert line.startswith(f"Beware: {told} of algonauts2023: 41.7 % of the noise ceiling.")
    assert "700 of 1000 targets not predicted" in report.in_words()
    assert "fficial" not in page + line + report.in_words()

"""Verdicts say what the numbers allow, and no more."""

from dataclasses import replace

import pytest

from striate.report.sources import source_of, swept
from striate.report.words import duration, number, percent, verdict

from .made import RECIPE, people, predictions, report_of


@pytest.fixture(scope="module")
def report():
    truth = people(ceilings=False, targets=8, rows=30)
    return report_of(truth, predictions(truth, ["weak", "best"]))


def told(report, comparison=None, others=0.1, own=0.5, score="pearson", **scores):
    summary = dict(report.summary)
    entry = {"median": own, "mean": own, "targets": 8, **scores}
    summary |= {"headline": score, "scores": {score: entry}, "duplicates": {}}
    summary["members"] = {"weak": {score: {"median": others}}, "best": {score: entry}}
    summary["comparisons"] = {"weak": {"interval": comparison}} if comparison else {}
    return " ".join(verdict(replace(report, summary=summary)))


def test_better_worse_or_not_distinguishable(report):
    assert "beats the best other member, “weak” (0.100)" in told(report, [0.2, 0.5])
    assert "not distinguishable from the best" in told(report, [-0.1, 0.5])
    worse = told(report, [-0.4, -0.1], others=0.8)
    assert "less well" in worse
    assert "choose on the test stimuli" in worse
    assert "beats the best other" in told(report, [-0.5, -0.2], 0.9, 0.5, "mse")
    assert "less well" in told(report, [0.1, 0.4], 0.2, 0.5, "mse")
    assert "at least as well" in told(report)


def test_chance(report):
    sure = told(report, resampled={"interval": [0.3, 0.6]})
    assert "above chance: its interval excludes 0" in sure
    assert "not distinguishable from chance" in told(report, resampled={"interval": [-0.1, 0.6]})
    assert "backwards" in told(report, resampled={"interval": [-0.4, -0.1]})
    assert "3 of 8 targets" in told(report, significant=3)
    assert "No target is predicted above chance" in told(report, significant=0)


def test_swept_names():
    assert swept("ridge") is None
    assert swept("ridge@folds=3") is None
    assert swept("ridge@net.nodes=conv1,folds=3").layer == "net.conv1"
    assert swept("ridge@net.a+net.b").layer == "net.a+net.b"


def test_sources(report):
    report = replace(report, recipe=RECIPE)
    assert source_of(report, "best") == "conv1 and conv2 of squeezenet1_0"
    assert source_of(report, "ridge@net.conv2") == "conv2 of squeezenet1_0"
    assert source_of(replace(report, recipe=""), "best") == ""
    many = RECIPE.replace('[["net.conv1"], ["net.conv2"]]', str([[f"net.c{k}"] for k in range(9)]))
    assert source_of(replace(report, recipe=many), "best") == "9 layers (c0 to c8) of squeezenet1_0"


def test_numbers():
    assert number(float("nan")) == "–"
    assert number(0.0) == "0.000"
    assert number(-0.25) == "−0.250"
    assert number(1234.5) == "1,234"
    assert percent(None) == "–"
    assert percent(0.7134) == "71.3 %"
    assert [duration(s) for s in (0.25, 61, 7320, None)] == ["0.2 s", "1 min 1 s", "2 h 2 min", "–"]

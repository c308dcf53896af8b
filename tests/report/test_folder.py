"""The folder of a run is written at once, read back, and fit for any subject's name."""

import json

import numpy as np
import pytest

from striate.data import label_responses
from striate.errors import FileError
from striate.report import read_run, write_run
from striate.report.folder import as_json
from striate.report.record import Report

from .made import ridge_report


def test_what_was_written_is_read_back(tmp_path):
    report = ridge_report(targets=6, rows=12)
    folder = write_run(report, tmp_path / "run")
    again = read_run(folder)
    assert again.recipe == report.recipe
    assert json.loads(as_json(report.summary)) == again.summary
    assert len(again.scores) == len(report.scores)
    for subject, block in report.predicted.items():
        assert np.array_equal(block.values, again.predicted[subject].values, equal_nan=True)
    assert again.in_words().startswith(report.in_words()[:10])


def test_a_second_run_of_the_same_name_gets_a_number(tmp_path):
    report = ridge_report(targets=3, rows=12)
    first, second = (write_run(report, tmp_path / "run") for _ in range(2))
    assert (first.name, second.name) == ("run", "run-2")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run-2"]


@pytest.mark.parametrize("name", ["../up", "a/b", "/root", "..", "a b<script>", ""])
def test_hostile_subject_names_stay_inside(tmp_path, name):
    block = label_responses(np.ones((2, 1)), ["a", "b"], subject=name)
    report = ridge_report(targets=3, rows=12)
    report = Report(report.recipe, report.summary, report.scores, predicted={name: block})
    folder = write_run(report, tmp_path / "out" / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["run"]
    assert list(read_run(folder).predicted) == [name]


def test_a_failed_page_leaves_nothing(tmp_path, monkeypatch):
    def fail(report, folder):
        raise OSError("disk full")

    monkeypatch.setattr("striate.report.folder.write_page", fail)
    with pytest.raises(OSError, match="disk full"):
        write_run(ridge_report(targets=3, rows=12), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["summary.json", "recipe.toml", "scores.csv"])
def test_a_damaged_run_is_one_sentence(tmp_path, damage):
    folder = write_run(ridge_report(targets=3, rows=12), tmp_path / "run")
    (folder / damage).unlink()
    with pytest.raises(FileError, match=r"no run|damaged"):
        read_run(folder)


def test_not_a_number_becomes_null():
    assert json.loads(as_json({"a": np.float32("nan"), "b": np.int64(3), "c": (True,)})) == {
        "a": None,
        "b": 3,
        "c": [True],
    }

"""Runs beside each other: the same rows, targets and draws, by label; and folders that are none."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from striate import compare
from striate.data import label_responses, row_table
from striate.errors import DataError, FileError, RecipeError, StriateError
from striate.report import read_run
from striate.scores import SCORES
from striate.scores.paired import Side, paired
from striate.store import save_responses

from .worlds import Bench

ROIS = {"V1": [True, True, False, False], "V2": [False, True, True, False]}


def world(root, noise=2.0, seed=0):
    bench = Bench(root, stimuli=60, width=8, seed=seed)
    part = bench.x[:, :4] + 0.5 * bench.rng.standard_normal((60, 4))
    bench.write_features(b=part, c=bench.rng.standard_normal((60, 3)))
    bench.table["part"] = ["test" if k >= 48 else "train" for k in range(60)]
    ceiling = [0.8, 0.7, 0.6, 0.5]
    bench.subject("s1", rois=ROIS, seen=bench.ids[:54], noise=noise, ceiling=ceiling)
    bench.subject("s2", rois=ROIS, seen=bench.ids[6:], noise=noise, ceiling=ceiling)
    return bench


def member(bench, name, space):
    return {"name": name, "features": [f"x.{space}"], "encoder": bench.linear(name)}


class Runs:
    """One world, and runs on it that were made once."""

    def __init__(self, root):
        self.bench = bench = world(root)
        self.three = bench.run(
            [member(bench, "bad", "c"), member(bench, "half", "b"), member(bench, "good", "a")]
        ).folder
        self.half = bench.run([member(bench, "half", "b")]).folder
        self.v2 = bench.run(
            [member(bench, "half", "b")], responses={"keep": {"roi": ["V2"]}}
        ).folder
        held = {"use": "last", "count": 20}
        self.last = bench.run([member(bench, "half", "b")], split=held).folder

    def __call__(self, *folders, **more):
        return compare(folders, machine=self.bench.machine(), **more)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("striate.report.folder.write_page", lambda report, folder: None)
        return Runs(tmp_path_factory.mktemp("compared"))


def line(table, **place):
    for key, value in ({"subject": "", "roi": ""} | place).items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_scores_are_those_of_the_runs_and_intervals_those_of_paired_draws(runs):
    found = runs(runs.three, runs.half, by="both", draws=200)
    reports = [read_run(runs.three), read_run(runs.half)]
    names = [runs.three.name, runs.half.name]
    assert sorted(found.models) == sorted(names)
    for name, report in zip(names, reports, strict=True):
        own = report.summary["scores"]["pearson"]
        got = line(found.scores, model=name)
        assert got["mean"] == pytest.approx(own["mean"], abs=1e-5)
        assert got["median"] == pytest.approx(own["median"], abs=1e-5)
        assert got["of_ceiling"] == pytest.approx(own["normalised"]["median"], abs=1e-5)
        assert got["targets"] == own["targets"] == 8
        for roi, entry in own["by_roi"].items():
            assert line(found.scores, model=name, roi=roi)["mean"] == pytest.approx(
                entry["mean"], abs=1e-5
            )
        for who, entry in own["by_subject"].items():
            assert line(found.scores, model=name, subject=who)["mean"] == pytest.approx(
                entry["mean"], abs=1e-5
            )
    # By hand, in another order of rows: both subjects see the same draws of 48 stimuli.
    place = {i: k for k, i in enumerate(np.unique(runs.bench.ids[:48]))}
    sides = []
    for subject in ("s1", "s2"):
        truth = runs.bench.blocks[subject]
        rows = [r for r in truth.row.values if r in place]
        each = [r.predicted[subject].sel(row=rows, target=truth.target).values for r in reports]
        at = np.array([place[r] for r in rows])
        sides.append(Side(truth.sel(row=rows).values, each, at, np.ones((4, 1), dtype=bool)))
    drawn = paired(sides, 48, draws=200).mean[:, :, 0]
    gap = drawn[0] - drawn[1]
    values = [np.mean([SCORES["pearson"](s.truth, s.predicted[k]) for s in sides]) for k in (0, 1)]
    gap += values[0] - values[1] - gap.mean()
    pair = line(found.differences)
    assert pair["model"] == names[0]
    assert pair["mean"] == pytest.approx(values[0] - values[1], abs=1e-6)
    assert (pair["low"], pair["high"]) == pytest.approx(
        tuple(np.quantile(gap, [0.025, 0.975])), abs=1e-5
    )
    assert pair["p"] == pytest.approx(2 / 201)
    assert 0 < pair["low"] < pair["mean"] < pair["high"]


def test_members_of_one_run(runs):
    found = runs(runs.three, members="all")
    assert found.models == ["good", "half", "bad"]
    assert len(found.differences) == 3 * 3
    assert (found.differences["p"].iloc[:3] < 0.05).all()
    report = read_run(runs.three)
    for name in found.models:
        wanted = report.summary["members"][name]["pearson"]["mean"]
        assert line(found.scores, model=name)["mean"] == pytest.approx(wanted, abs=1e-5)


def test_validation_ranks_stand_beside_test_ranks(runs):
    found = runs(runs.three, members="all")
    summary = read_run(runs.three).summary
    for model in found.models:
        for roi in ("", "V1", "V2"):
            own = found.ranks[(found.ranks["model"] == model) & (found.ranks["roi"] == roi)].iloc[0]
            before, after = (summary[k][model]["pearson"] for k in ("members", "final"))
            if roi:
                before, after = before["by_roi"][roi], after["by_roi"][roi]
            assert own["validation"] == pytest.approx(before["mean"])
            assert own["test"] == pytest.approx(after["mean"])
    assert found.agreement[""] == pytest.approx(1.0)


def test_equal_models_do_not_differ(runs):
    found = runs(runs.half, runs.three, members="all")
    pair = found.differences[
        found.differences["model"].str.contains("half")
        & found.differences["other"].str.contains("half")
    ]
    assert len(pair) == 3
    assert (pair["mean"].abs() < 1e-7).all()
    assert (pair["p"] == 1.0).all()


def test_common_targets_and_rows_are_told_and_nothing_else_is_scored(runs):
    found = runs(runs.half, runs.v2)
    assert set(found.scores["targets"]) == {4, 2}  # V1 and V2 share a target
    assert any("4 targets" in n for n in found.notes)
    pair = line(found.differences)
    assert pair["mean"] == pytest.approx(0.0, abs=1e-7)
    assert not any("other splits" in n for n in found.notes)
    found = runs(runs.three, runs.last)
    assert sum("other splits" in n for n in found.notes) == 1
    report = read_run(runs.last)
    rows = [
        r
        for b in report.predicted.values()
        for r, c in zip(b.row.values, b.call.values, strict=True)
        if c != "final"
    ]
    assert any(n.startswith(f"{len(rows)} rows") for n in found.notes)
    got = line(found.scores, model=runs.last.name)["mean"]
    assert got == pytest.approx(report.summary["scores"]["pearson"]["mean"], abs=1e-5)


def shuffled(folder, place, rng):
    """A copy of a run whose predictions stand in another order."""
    shutil.copytree(folder, place)
    for subject, block in read_run(folder).predicted.items():
        rows, targets = rng.permutation(block.shape[0]), rng.permutation(block.shape[1])
        save_responses(place / "predictions" / subject, block.isel(row=rows, target=targets))
    return place


def test_the_order_of_labels_does_not_matter(runs, tmp_path):
    other = shuffled(runs.half, tmp_path / "other", np.random.default_rng(3))
    plain, mixed = runs(runs.three, runs.half, by="both"), runs(runs.three, other, by="both")
    numbers = ["mean", "low", "high", "p"]
    np.testing.assert_allclose(plain.differences[numbers], mixed.differences[numbers], atol=1e-6)


def test_every_score_and_its_direction(runs):
    found = runs(runs.three, members="all", score="mse")
    assert found.models[0] == "good"
    assert found.scores["mean"].iloc[0] < found.scores["mean"].iloc[-1]
    assert found.scores["of_ceiling"].isna().all()


def test_without_the_data_scores_are_told_without_intervals(runs, tmp_path):
    folders = []
    for folder in (runs.three, runs.v2):
        place = tmp_path / folder.name
        shutil.copytree(folder, place)
        text = (place / "recipe.toml").read_text()
        (place / "recipe.toml").write_text(text.replace(str(runs.bench.root / "world"), "/gone"))
        folders.append(place)
    found = runs(*folders, by="both")
    whole = runs(runs.three, runs.v2, by="both")
    assert found.draws == 0
    assert any("could not be read again" in n for n in found.notes)
    assert any("4 targets are common to all models, of up to 8" in n for n in found.notes)
    assert found.scores["mean_low"].isna().all()
    np.testing.assert_allclose(found.scores["mean"], whole.scores["mean"], atol=1e-5)
    assert "interval" not in found.in_words().splitlines()[2]


def test_what_is_written(runs, tmp_path):
    found = runs(runs.three, members="all", out=tmp_path / "a" / "b")
    page = (found.folder / "comparison.html").read_text("utf-8")
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    record = json.loads((found.folder / "comparison.json").read_text())
    assert record["scores"][0]["model"] == "good"
    table = pd.read_csv(found.folder / "comparison.csv", keep_default_na=False)
    assert list(table.columns) == list(found.scores.columns)
    assert "comparison.html" in found.in_words()


def test_other_measurements_are_refused(runs, tmp_path):
    other = world(tmp_path, seed=9)
    folder = other.run([member(other, "half", "b")]).folder
    with pytest.raises(DataError, match="measured 's1' differently"):
        runs(runs.half, folder)


def test_other_data_sets_are_refused(runs, tmp_path):
    place = tmp_path / "other"
    shutil.copytree(runs.half, place)
    text = (place / "recipe.toml").read_text()
    (place / "recipe.toml").write_text(re.sub(r'use = ".*World"', 'use = "folder"', text))
    with pytest.raises(DataError, match=r"is a run on 'folder' and .* only runs on one data set"):
        runs(runs.half, place)


def test_no_rows_in_common_is_refused(runs):
    bench = runs.bench
    early = {"use": "fixed", "test": bench.ids[6:12], "train": bench.ids[20:40]}
    folder = bench.run([member(bench, "half", "b")], split=early).folder
    with pytest.raises(DataError, match="no rows and targets in common"):
        runs(runs.last, folder)


def test_members_for_regions_of_their_own_have_their_answers_compared(tmp_path):
    bench = Bench(tmp_path)
    bench.subject(rois={"V1": [True, True, False, False], "V2": [False, False, True, True]})
    each = [member(bench, n, "a") | {"per": ["roi"], "groups": {n: [n]}} for n in ("V1", "V2")]
    folder = bench.run(each).folder
    with pytest.raises(DataError, match=r"in common: .*--members answer"):
        compare([folder], members="all", machine=bench.machine())


@pytest.mark.parametrize(
    "part", ["summary.json", "scores.csv", "recipe.toml", "fits.json", "predictions"]
)
def test_a_folder_that_lacks_something_is_told(runs, tmp_path, part):
    place = tmp_path / "broken"
    shutil.copytree(runs.half, place)
    shutil.rmtree(place / part) if part == "predictions" else (place / part).unlink()
    with pytest.raises(FileError, match=re.escape(str(place))):
        runs(runs.three, place)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"headline": 3}', "\x00"])
def test_a_summary_of_something_else_is_told(runs, tmp_path, text):
    place = tmp_path / "broken"
    shutil.copytree(runs.half, place)
    (place / "summary.json").write_text(text)
    with pytest.raises(FileError, match=re.escape(str(place))):
        runs(runs.three, place)


def test_a_table_of_something_else_is_told(runs, tmp_path):
    place = tmp_path / "broken"
    shutil.copytree(runs.half, place)
    (place / "scores.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileError, match=re.escape(str(place))):
        runs(runs.three, place)


def test_a_target_predicted_on_some_rows_only_is_told(runs, tmp_path):
    place = tmp_path / "gaps"
    shutil.copytree(runs.half, place)
    block = read_run(runs.half).predicted["s1"].copy(deep=True)
    block.values[3, 1] = np.nan
    save_responses(place / "predictions" / "s1", block)
    with pytest.raises(DataError, match="lacks some predictions of target 't1' of 's1'"):
        runs(runs.three, place)


def test_members_that_are_not_stored_any_more_are_told(runs, tmp_path):
    place = tmp_path / "moved"
    shutil.copytree(runs.three, place)
    (place / "machine.json").write_text(json.dumps({"store": str(tmp_path / "gone")}))
    machine = runs.bench.machine(store=tmp_path / "empty")
    with pytest.raises(StriateError, match=r"predictions of member 'bad' .* not in the store"):
        compare([place], members="all", machine=machine)


def test_the_store_of_the_run_is_found(runs, tmp_path):
    found = compare([runs.three], members="all", machine=runs.bench.machine(store=tmp_path))
    assert found.models[0] == "good"


@pytest.mark.parametrize(
    ("names", "more", "told"),
    [
        ([], {}, "no runs"),
        (["half"], {}, "--members all"),
        (["half", "half"], {}, "named twice"),
        (["half", "v2"], {"members": "some"}, "unknown value of members 'some'"),
        (["half", "v2"], {"by": "region"}, "unknown value of by 'region'"),
        (["half", "v2"], {"score": "peersan"}, "unknown score 'peersan': did you mean 'pearson'"),
        (["half", "v2"], {"draws": 0}, "draws = 0"),
    ],
)
def test_mistakes_are_told(runs, names, more, told):
    with pytest.raises(StriateError, match=re.escape(told)):
        runs(*(getattr(runs, n) for n in names), **more)


def test_a_row_names_the_call_that_predicted_it(runs):
    for folder, names in ((runs.three, {"fold0", "fold1", "fold2", "final"}), (runs.last, None)):
        for block in read_run(folder).predicted.values():
            calls = row_table(block)["call"]
            hidden = calls.index[calls == "final"]
            assert set(hidden) == {i for i in block.row.values if int(i[2:]) >= 48}
            assert names is None or set(calls) == names


def test_runs_from_before_rows_named_their_call(runs, tmp_path):
    place = tmp_path / "old"
    shutil.copytree(runs.half, place)
    for subject, block in read_run(runs.half).predicted.items():
        save_responses(place / "predictions" / subject, block.drop_vars("call"))
    found = runs(runs.three, place)
    assert line(found.scores, model="old")["mean"] == pytest.approx(
        read_run(runs.half).summary["scores"]["pearson"]["mean"], abs=1e-5
    )


def test_models_without_subjects(tmp_path):
    bench = Bench(tmp_path)
    bench.blocks["s1"] = label_responses(bench.x @ bench.weights[:, :3], bench.ids, subject="s1")
    folders = [bench.run([member(bench, "m", "a")], scores=[s]).folder for s in ("pearson", "r2")]
    found = compare(folders, score="pearson", machine=bench.machine())
    assert (found.scores["mean"] > 0.9).all()


def test_the_order_of_runs_is_free(runs):
    one, two = runs(runs.three, runs.half), runs(runs.half, runs.three)
    pd.testing.assert_frame_equal(one.differences, two.differences)


def test_recipe_error_when_data_are_gone_and_a_score_was_not_computed(runs, tmp_path):
    folders = []
    for folder in (runs.three, runs.v2):
        place = tmp_path / folder.name
        shutil.copytree(folder, place)
        text = (place / "recipe.toml").read_text()
        (place / "recipe.toml").write_text(text.replace(str(runs.bench.root / "world"), "/gone"))
        folders.append(place)
    with pytest.raises(RecipeError, match="was not scored by 'mse'"):
        runs(*folders, score="mse")


def test_without_a_test_ranks_are_those_of_the_choice(tmp_path):
    bench = Bench(tmp_path, stimuli=40)
    bench.write_features(b=bench.x[:, :3], c=bench.rng.standard_normal((40, 3)))
    bench.subject(rois=ROIS)
    best = {"name": "best", "features": ["bad", "half", "good"], "encoder": "best"}
    each = [member(bench, "bad", "c"), member(bench, "half", "b"), member(bench, "good", "a")]
    report = bench.run([*each, best], inner={"folds": 3})
    found = compare([report.folder], members="all", machine=bench.machine())
    assert set(found.ranks["model"]) == {"bad", "half", "good"}
    assert found.agreement[""] == pytest.approx(1.0)
    good = line(found.ranks.assign(subject=""), model="good")
    assert good["test"] == pytest.approx(report.summary["members"]["good"]["pearson"]["mean"])
    assert good["validation"] == pytest.approx(good["test"], abs=0.15)
    assert any("that the choice between members was made on" in n for n in found.notes)

"""Outer and inner calls against cross-validation written by hand: values, and who saw what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls
from sklearn.linear_model import Ridge

from striate.data import label_responses
from striate.errors import DataError, RecipeError

from .parts import noted, solve
from .worlds import PARTS, Bench, folds, values


def ridge(x, y, alpha=1.0):
    mean = x.mean(axis=0)
    fitted = Ridge(alpha).fit(x - mean, y)
    return lambda new: fitted.predict(new - mean)


def out_of_fold(x, y, units, count=3, alpha=1.0, fit=ridge):
    fold, found = folds(units, count), np.full(y.shape, np.nan)
    for k in range(count):
        found[fold == k] = fit(x[fold != k], y[fold != k], alpha)(x[fold == k])
    return found


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_pooled_folds_equal_cross_validation_by_hand(bench):
    y = bench.subject()
    report = bench.run([{"name": "m", "steps": [bench.centre()], "encoder": bench.linear()}])
    wanted = out_of_fold(bench.x, y, bench.ids)
    np.testing.assert_allclose(values(report, ids=bench.ids), wanted, atol=1e-10)
    r = [np.corrcoef(wanted[:, t], y[:, t])[0, 1] for t in range(4)]
    assert report.summary["scores"]["pearson"]["median"] == pytest.approx(np.median(r), abs=1e-6)
    fold = folds(bench.ids, 3)
    seen = [set(line["step"]) for line in noted(bench.log) if "step" in line]
    rest = [{i for i, f in zip(bench.ids, fold, strict=True) if f != k} for k in range(3)]
    assert sorted(map(sorted, seen)) == sorted(map(sorted, rest))


def test_scikit_learn_encoder_gives_the_same(bench):
    y = bench.subject()
    report = bench.run([{"name": "m", "encoder": {"use": "sklearn.linear_model:Ridge"}}])
    np.testing.assert_allclose(
        values(report, ids=bench.ids), out_of_fold(bench.x, y, bench.ids), atol=1e-6
    )


def test_leak_groups_and_duplicates_stay_on_one_side_on_every_level(bench):
    bench.table["group"] = [f"g{k // 2}" if k < 8 else "" for k in range(24)]
    bench.table["digest"] = ["same" if k in (3, 20) else f"d{k}" for k in range(24)]
    units = [["im0", "im1"], ["im2", "im3", "im20"], ["im4", "im5"], ["im6", "im7"]]
    bench.subject()
    base = {"name": "base", "steps": [bench.centre()], "encoder": bench.linear("base")}
    stack = {"name": "stack", "features": ["base"], "encoder": bench.linear("stack")}
    last = {"name": "last", "features": ["stack", "base"], "encoder": bench.linear("last")}
    bench.run([base, stack, last], inner={"folds": 3})
    lines = [set(line.get("step", line.get("fit"))) for line in noted(bench.log) if "step" in line]
    assert len(lines) > 9
    for seen in lines:
        for unit in units:
            assert len(seen & set(unit)) in (0, len(unit))


def test_a_stack_is_fitted_to_out_of_fold_predictions(bench):
    y = bench.subject()
    wide = bench.rng.standard_normal((24, 3)) + bench.x[:, :3]
    bench.write_features(b=wide)
    one = {"name": "one", "encoder": bench.linear("one")}
    two = {"name": "two", "features": ["x.b"], "encoder": bench.linear("two", alpha=3.0)}
    stack = {"name": "stack", "features": ["one", "two"], "encoder": "stack"}
    report = bench.run([one, two, stack], inner={"folds": 4, "seed": 7})

    fold, wanted = folds(bench.ids, 3), np.full(y.shape, np.nan)
    for k in range(3):
        a, b = fold != k, fold == k
        inner = folds([i for i, f in zip(bench.ids, a, strict=True) if f], 4, 7)
        apart, there = [], []
        for x, alpha in ((bench.x, 1.0), (wide, 3.0)):
            held = np.full(y[a].shape, np.nan)
            for j in range(4):
                rest = ridge(x[a][inner != j], y[a][inner != j], alpha)
                held[inner == j] = rest(x[a][inner == j])
            apart.append(held)
            there.append(ridge(x[a], y[a], alpha)(x[b]))
        for t in range(4):
            p = np.stack([q[:, t] for q in apart], axis=1)
            mean, centre = y[a][:, t].mean(), p.mean(axis=0)
            weight, _ = nnls(p - centre, y[a][:, t] - mean)
            wanted[b, t] = (np.stack([q[:, t] for q in there], axis=1) - centre) @ weight + mean
    np.testing.assert_allclose(values(report, ids=bench.ids), wanted, atol=2e-5)


def test_three_levels_never_see_the_part_that_they_predict(bench):
    bench.subject()
    members = [
        {"name": "one", "steps": [bench.centre()], "encoder": bench.linear("one")},
        {"name": "two", "features": ["one"], "encoder": bench.linear("two")},
        {"name": "three", "features": ["two", "one"], "encoder": bench.linear("three")},
    ]
    report = bench.run(members, inner={"folds": 2})
    fold, x, wanted = folds(bench.ids, 3), bench.x, []
    y = np.asarray(bench.blocks["s1"].values)
    ids = np.array(bench.ids)

    def fitted(level, train, rows):
        """The recursion of the loop, over positions of stimuli."""
        if level == 0:
            return ridge(x[train], y[train])(x[rows])
        names = [[], [0], [1, 0]][level]
        inner = folds(ids[train].tolist(), 2)
        held = [np.full((len(train), 4), np.nan) for _ in names]
        for j in range(2):
            for q, other in zip(held, names, strict=True):
                q[inner == j] = fitted(other, train[inner != j], train[inner == j])
        there = [fitted(other, train, rows) for other in names]
        w, b = solve(np.concatenate(held, axis=1), y[train], 1.0)
        return np.concatenate(there, axis=1) @ w + b

    wanted = np.full(y.shape, np.nan)
    for k in range(3):
        a, b = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        wanted[b] = fitted(2, a, b)
    np.testing.assert_allclose(values(report, ids=bench.ids), wanted, atol=1e-8)
    # No fit and no step ever saw a stimulus that it then predicted.
    last: dict[str, set[str]] = {}
    for line in noted(bench.log):
        if "fit" in line:
            last[line["tag"]] = set(line["fit"])
        if "predict" in line:
            assert not last[line["tag"]] & set(line["predict"])


def test_the_order_of_members_is_part_of_the_key(bench):
    bench.subject(rois={"V1": [True, True, False, False]})
    part = {"name": "part", "per": ["roi"], "encoder": bench.linear("part")}
    whole = {"name": "whole", "encoder": bench.linear("whole", alpha=50.0)}
    runs = {}
    for order in (["part", "whole"], ["whole", "part"]):
        last = {"name": "last", "features": order, "encoder": "stitch"}
        runs[order[0]] = values(bench.run([part, whole, last]))
    assert not np.allclose(runs["part"][:, :2], runs["whole"][:, :2])
    np.testing.assert_array_equal(runs["part"][:, 2:], runs["whole"][:, 2:])


def test_steps_of_an_encoder_that_learns_nothing_see_training_stimuli_only(bench):
    pairs = [(i, j) for i in bench.ids[:12] for j in bench.ids[:12] if i < j]
    y = bench.rng.random((len(pairs), 1))
    bench.blocks["s1"] = label_responses(y, np.array(pairs, dtype=object), ["V1"], subject="s1")
    report = bench.run(
        [{"name": "m", "steps": [bench.centre()], "encoder": {"use": "rdm"}, "per": ["subject"]}],
        scores=["spearman"],
    )
    ids = sorted(bench.ids[:12], key=lambda i: int(i[2:]))
    fold = folds(ids, 3)
    rest = [{i for i, f in zip(ids, fold, strict=True) if f != k} for k in range(3)]
    seen = [set(line["step"]) for line in noted(bench.log) if "step" in line]
    assert sorted(map(sorted, seen)) == sorted(map(sorted, rest))
    place = {i: k for k, i in enumerate(bench.ids)}
    block = report.predicted["s1"]
    for k in range(3):
        x = bench.x[[place[i] for i in ids]] - bench.x[[place[i] for i in rest[k]]].mean(axis=0)
        r = 1 - np.corrcoef(x)
        for row, a, b in zip(
            block.row.values, block.stimulus.values, block.stimulus_2.values, strict=True
        ):
            if a not in rest[k] and b not in rest[k]:
                found = float(block.sel(row=row).values[0])
                assert found == pytest.approx(r[ids.index(a), ids.index(b)], abs=1e-5)


def test_subjects_who_saw_other_stimuli_share_sides(bench):
    first = bench.subject("s1", bench.ids[:18])
    second = bench.subject("s2", bench.ids[6:], ["t0", "u1"])
    report = bench.run([{"name": "m", "encoder": bench.linear()}])
    fold = folds(bench.ids, 3)
    for name, y, at in (("s1", first, np.arange(18)), ("s2", second, np.arange(6, 24))):
        wanted = np.full(y.shape, np.nan)
        for k in range(3):
            train, test = fold[at] != k, fold[at] == k
            wanted[test] = ridge(bench.x[at][train], y[train])(bench.x[at][test])
        ids = [bench.ids[k] for k in at]
        np.testing.assert_allclose(values(report, name, ids), wanted, atol=1e-10)
        assert set(report.predicted[name].row.values) == set(ids)


def test_rows_of_one_name_and_other_stimuli_are_refused(bench):
    for name, seen in (("s1", bench.ids[:12]), ("s2", bench.ids[12:])):
        y = bench.rng.random((12, 2))
        rows = [f"r{k}" for k in range(12)]
        bench.blocks[name] = label_responses(y, seen, subject=name, rows=rows)
    with pytest.raises(DataError, match="names of their own"):
        bench.run([{"name": "m", "encoder": bench.linear()}])
    assert not (bench.root / "runs").exists()


def test_subjects_without_a_label_get_one(bench):
    y = {}
    for name in ("s1", "s2"):
        y[name] = bench.subject(name)
        bench.blocks[name] = bench.blocks[name].drop_vars("subject")
    report = bench.run([{"name": "m", "encoder": bench.linear(), "per": []}])
    for name in y:
        wanted = out_of_fold(bench.x, y[name], bench.ids)
        np.testing.assert_allclose(values(report, name, bench.ids), wanted, atol=1e-10)
    bench.blocks["s2"] = bench.blocks["s1"].assign_coords(subject=("target", ["s1"] * 4))
    with pytest.raises(DataError, match="'s2' hold targets of subject s1"):
        bench.run([{"name": "m", "encoder": bench.linear()}])


def test_hidden_rows_are_predicted_by_a_refit_or_by_all_folds(bench):
    hidden = bench.ids[18:]
    bench.table["part"] = ["train"] * 18 + ["test"] * 6
    y = bench.subject(hidden=hidden)
    member = {"name": "m", "encoder": bench.linear()}
    x, fold = bench.x[:18], folds(bench.ids[:18], 3)
    refit = bench.run([member])
    np.testing.assert_allclose(
        values(refit, ids=hidden), ridge(x, y[:18])(bench.x[18:]), atol=1e-10
    )
    assert "final" not in refit.summary
    mean = bench.run([member], final="mean of folds")
    wanted = np.mean([ridge(x[fold != k], y[:18][fold != k])(bench.x[18:]) for k in range(3)], 0)
    np.testing.assert_allclose(values(mean, ids=hidden), wanted, atol=1e-10)
    np.testing.assert_array_equal(
        values(mean, ids=bench.ids[:18]), values(refit, ids=bench.ids[:18])
    )


def test_test_rows_with_truth_are_scored_apart(bench):
    bench.table["part"] = ["train"] * 18 + ["test"] * 6
    y = bench.subject()
    report = bench.run([{"name": "m", "encoder": bench.linear()}])
    p = ridge(bench.x[:18], y[:18])(bench.x[18:])
    r = np.median([np.corrcoef(p[:, t], y[18:, t])[0, 1] for t in range(4)])
    assert report.summary["final"]["m"]["pearson"]["median"] == pytest.approx(r, abs=1e-6)
    held = out_of_fold(bench.x[:18], y[:18], bench.ids[:18])
    r = np.median([np.corrcoef(held[:, t], y[:18, t])[0, 1] for t in range(4)])
    assert report.summary["scores"]["pearson"]["median"] == pytest.approx(r, abs=1e-6)


def test_copies_of_a_test_stimulus_train_no_final_fit(bench):
    bench.table["part"] = ["train"] * 18 + ["test"] * 6
    bench.table["digest"] = ["copy" if k in (2, 20) else f"d{k}" for k in range(24)]
    bench.subject(hidden=bench.ids[18:])
    for final in ("refit", "mean of folds"):
        bench.log.unlink(missing_ok=True)
        bench.run([{"name": "m", "encoder": bench.linear(final)}], final=final)
        seen = None
        for line in noted(bench.log):
            seen = set(line["fit"]) if "fit" in line else seen
            if "im20" in line.get("predict", ()):
                assert "im2" not in seen


def test_a_split_without_measured_rows_is_refused_before_anything_is_fitted(bench):
    bench.table["part"] = ["train"] * 18 + ["test"] * 6
    bench.subject(hidden=bench.ids[18:])
    with pytest.raises(DataError, match="nothing can be scored"):
        bench.run([{"name": "m", "encoder": bench.linear()}], split="parts")
    assert not noted(bench.log)
    assert not (bench.root / "runs").exists()


def test_unknown_scores_are_refused_before_anything_is_fitted(bench):
    bench.subject()
    with pytest.raises(RecipeError, match="pearsn"):
        bench.run([{"name": "m", "encoder": bench.linear()}], scores=["pearsn"])
    assert not noted(bench.log)


def test_responses_on_disk_give_the_same_run(bench, monkeypatch):
    for k in (1, 2, 3):
        bench.subject(f"s{k}", targets=[f"t{j}" for j in range(6)], hemisphere=list("lllrrr"))
    members = [{"name": "m", "encoder": {"use": "ridge"}, "per": ["subject", "hemisphere"]}]
    keep = {"keep": {"subject": ["s1", "s3"]}}
    kept = bench.run(members, responses=keep)
    table = bench.recipe(members, responses=keep).dataset | {
        "use": f"{PARTS}:DiskWorld",
        "log": str(bench.log),
    }
    bench.store = bench.root / "another store"
    monkeypatch.setattr("striate.run.groups.LARGEST_JOB", 24 * 3)
    read = bench.run(members, responses=keep, dataset=table)
    pd.testing.assert_frame_equal(
        read.scores.drop(columns=["p", "q"]), kept.scores.drop(columns=["p", "q"]), rtol=1e-6
    )
    lines = noted(bench.log)
    assert {line["opened"] for line in lines if "opened" in line} == {"s1", "s3"}
    assert sorted({f["targets"] for f in read.fits}) == [3]
    assert {f["targets"] for f in kept.fits} == {12}
    # Fits read one hemisphere at a time.
    rows = {tuple(line["read"]) for line in lines if "read" in line}
    assert (16, 3) in rows
    assert not any(r == 16 and t > 3 for r, t in rows)

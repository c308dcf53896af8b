"""Who shares a fit, what a fit starts from, and in which units it is made."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data import label_responses
from striate.errors import RecipeError
from striate.recipe import Member
from striate.run.groups import groups_of, jobs_of

from .parts import noted, solve
from .test_outer import out_of_fold, ridge
from .worlds import Bench, folds, values

V1, V2 = [True, True, False, False], [False, True, True, False]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def fits(bench, tag=""):
    return [line for line in noted(bench.log) if "fit" in line and line["tag"] == tag]


def blocks(**more):
    sizes = {"s1": 4, "s2": 4}
    return {
        s: label_responses(
            np.zeros((3, n)),
            ["a", "b", "c"],
            subject=s,
            rois={"V1": V1, "V2": V2},
            target_labels={"hemisphere": ["l", "r", "l", "r"]},
            **more,
        )
        for s, n in sizes.items()
    }


def test_a_job_grows_until_it_is_large(monkeypatch):
    member = Member(name="m", encoder="ridge", per=["subject", "hemisphere"])
    rows = {"s1": "same", "s2": "same"}
    assert [len(j.groups) for j in jobs_of(member, blocks(), rows)] == [4]
    monkeypatch.setattr("striate.run.groups.LARGEST_JOB", 13)
    assert [len(j.groups) for j in jobs_of(member, blocks(), rows)] == [2, 2]
    monkeypatch.setattr("striate.run.groups.LARGEST_JOB", 1)
    assert [len(j.groups) for j in jobs_of(member, blocks(), rows)] == [1] * 4


@pytest.mark.parametrize(
    ("per", "groups", "wanted"),
    [
        ([], {}, [{"s1": [0, 1, 2, 3], "s2": [0, 1, 2, 3]}]),
        (["subject"], {}, [{"s1": [0, 1, 2, 3]}, {"s2": [0, 1, 2, 3]}]),
        (["roi"], {}, [{"s1": [0, 1], "s2": [0, 1]}, {"s1": [1, 2], "s2": [1, 2]}]),
        (
            ["subject", "roi"],
            {"a": ["V1"], "b": ["rest"]},
            [{"s1": [0, 1]}, {"s1": [2, 3]}, {"s2": [0, 1]}, {"s2": [2, 3]}],
        ),
        (
            ["roi"],
            {"v": ["V1", "V2"], "b": ["rest"]},
            [{"s1": [0, 1, 2], "s2": [0, 1, 2]}, {"s1": [3], "s2": [3]}],
        ),
        (["roi"], {"WB": ["all"]}, [{"s1": [0, 1, 2, 3], "s2": [0, 1, 2, 3]}]),
        (["subject", "roi"], {}, [{"s1": [0, 1]}, {"s1": [1, 2]}, {"s2": [0, 1]}, {"s2": [1, 2]}]),
        (["hemisphere"], {}, [{"s1": [0, 2], "s2": [0, 2]}, {"s1": [1, 3], "s2": [1, 3]}]),
        (["roi"], {"both": ["V1", "V2"]}, [{"s1": [0, 1, 2], "s2": [0, 1, 2]}]),
        (["roi", "hemisphere"], {"V2": ["V2"]}, [{"s1": [2], "s2": [2]}, {"s1": [1], "s2": [1]}]),
    ],
)
def test_groups_by_hand(per, groups, wanted):
    member = Member(name="m", encoder="ridge", per=per, groups=groups)
    found = [{s: at.tolist() for s, at in g} for g in groups_of(member, blocks())]
    key = str
    assert sorted(found, key=key) == sorted(wanted, key=key)


def test_unknown_labels_and_regions_are_named():
    for line, match in (({"per": ["hemi"]}, "hemisphere"), ({"groups": {"x": ["V9"]}}, "V9")):
        member = Member(name="m", encoder="ridge", **({"per": ["roi"]} | line))
        with pytest.raises(RecipeError, match=match):
            groups_of(member, blocks())


def test_groups_are_gathered_where_their_rows_are_the_same():
    member = Member(name="m", encoder="ridge", per=["subject", "hemisphere"])
    same = list(jobs_of(member, blocks(), {"s1": "x", "s2": "x"}))
    assert [len(j.groups) for j in same] == [4]
    apart = list(jobs_of(member, blocks(), {"s1": "x", "s2": "y"}))
    assert [len(j.groups) for j in apart] == [2, 2]
    wide = Member(name="w", encoder="ridge", per=["hemisphere"])
    starts = [j.groups for j in jobs_of(wide, blocks(), {"s1": "x", "s2": "y"})]
    assert len(starts) == 2
    found = list(jobs_of(member, blocks(), {"s1": "x", "s2": "y"}, starts))
    assert [j.start for j in found] == [0, 1, 0, 1]
    with pytest.raises(RecipeError, match="inside one fit"):
        list(jobs_of(wide, blocks(), {"s1": "x", "s2": "y"}, [j.groups for j in apart]))


@pytest.mark.parametrize(
    ("per", "count"), [([], 1), (["subject"], 2), (["roi"], 2), (["subject", "roi"], 4)]
)
def test_who_shares_a_fit_changes_no_ridge_but_who_is_fitted(bench, per, count):
    rois = {"V1": V1, "V2": V2}
    y = {s: bench.subject(s, rois=rois) for s in ("s1", "s2")}
    report = bench.run([{"name": "m", "per": per, "encoder": bench.linear()}])
    assert len(fits(bench)) == 3 * count
    for name, truth in y.items():
        wanted = out_of_fold(bench.x, truth, bench.ids)
        if "roi" in per:
            assert report.predicted[name].sizes["target"] == 3
            wanted = wanted[:, :3]
        np.testing.assert_allclose(values(report, name, bench.ids), wanted, atol=1e-10)


def test_a_target_of_two_regions_is_predicted_by_the_mean_of_their_fits(bench):
    rois = {"V1": V1, "V2": V2}
    bench.subject(rois=rois)
    cls = (bench.root / "own.py").write_text(
        "from dataclasses import dataclass\n"
        "import numpy as np\n"
        "from striate.data import assemble, row_table, target_table\n"
        "from striate.interfaces import Encoder, with_learned\n"
        "@dataclass(frozen=True)\n"
        "class First(Encoder):\n"
        "    def fit(self, features, groups, start=None):\n"
        "        names = [(b.target.values[0], target_table(b)) for g in groups for b in g]\n"
        "        return with_learned(self, names_=[list(n) for n in names])\n"
        "    def predict(self, features, rows):\n"
        "        import pandas as pd\n"
        "        wide = [np.full((len(rows), len(t)), float(n[1:])) for n, t in self.names_]\n"
        "        tables = pd.concat([t for _, t in self.names_])\n"
        "        return assemble(np.concatenate(wide, axis=1), row_table(rows), tables)\n"
    )
    assert cls
    own = {"use": f"{bench.root}/own.py:First"}
    report = bench.run([{"name": "m", "per": ["roi"], "encoder": own}])
    block = report.predicted["s1"]
    found = {t: set(block.sel(target=t).values.tolist()) for t in block.target.values}
    assert found == {"t0": {0.0}, "t1": {0.5}, "t2": {1.0}}


def test_what_no_region_has_is_filled_by_a_stitch(bench):
    y = bench.subject(rois={"V1": V1})
    part = {"name": "part", "per": ["roi"], "encoder": bench.linear("part")}
    whole = {"name": "whole", "encoder": bench.linear("whole", alpha=50.0)}
    last = {"name": "last", "features": ["part", "whole"], "encoder": "stitch"}
    report = bench.run([part, whole, last])
    found = values(report, ids=bench.ids)
    np.testing.assert_allclose(
        found[:, :2], out_of_fold(bench.x, y, bench.ids)[:, :2], rtol=1e-5, atol=1e-5
    )
    wide = out_of_fold(bench.x, y, bench.ids, alpha=50.0)
    np.testing.assert_allclose(found[:, 2:], wide[:, 2:], rtol=1e-5, atol=1e-5)
    alone = report.scores[report.scores["member"] == "part"]
    assert set(alone["target"]) == {"t0", "t1"}
    assert "part" not in report.summary["comparisons"]
    assert "whole" in report.summary["comparisons"]


def test_a_fit_starts_after_the_fit_of_the_same_stimuli_that_contains_it(bench):
    y = {s: bench.subject(s, hemisphere=["l", "l", "r", "r"]) for s in ("s1", "s2")}
    base = {"name": "base", "steps": [bench.centre()], "per": ["subject"]}
    tuned = base | {"name": "tuned", "per": ["subject", "hemisphere"], "after": "base"}
    base |= {"encoder": bench.linear("base")}
    tuned |= {"encoder": bench.linear("tuned", alpha=20.0)}
    report = bench.run([base, tuned])
    fold = folds(bench.ids, 3)
    for name, truth in y.items():
        wanted = np.full(truth.shape, np.nan)
        for k in range(3):
            a, b = fold != k, fold == k
            prior = solve(bench.x[a], truth[a], 1.0)[0]
            w, c = solve(bench.x[a], truth[a], 20.0, prior)
            wanted[b] = bench.x[b] @ w + c
        np.testing.assert_allclose(values(report, name, bench.ids), wanted, atol=1e-9)
    assert all(line["started"] for line in fits(bench, "tuned"))


def test_a_stack_may_hold_a_member_and_the_one_that_starts_after_it(bench):
    bench.subject()
    base = {"name": "base", "encoder": bench.linear("base")}
    tuned = {"name": "tuned", "encoder": bench.linear("tuned", alpha=9.0), "after": "base"}
    last = {"name": "last", "features": ["base", "tuned"], "encoder": "stack"}
    report = bench.run([base, tuned, last], inner={"folds": 2})
    assert len(fits(bench, "tuned")) == len(fits(bench, "base")) == 9
    assert report.summary["scores"]["pearson"]["median"] > 0.5


def test_an_earlier_fit_that_is_not_stored_is_made_again(bench):
    bench.subject()
    base = {"name": "base", "encoder": bench.linear("base")}
    tuned = {"name": "tuned", "encoder": bench.linear("tuned", alpha=9.0), "after": "base"}
    whole = values(bench.run([base, tuned]))
    for folder in bench.store.glob("tasks/*/*/fit/state"):
        for file in folder.iterdir():
            file.write_bytes(b"torn")
    bench.blocks["s1"] = bench.blocks["s1"]
    again = dict(tuned, encoder=bench.linear("more", alpha=9.0))
    np.testing.assert_array_equal(values(bench.run([base, again])), whole)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"steps": ["zscore"]}, "same features and steps"),
        ({"features": ["x.b"]}, "same features and steps"),
        ({"per": []}, "inside one fit"),
        ({"after": "nobody"}, "nobody"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(bench, change, match):
    bench.write_features(b=bench.x)
    bench.subject("s1")
    bench.subject("s2")
    base = {"name": "base", "encoder": bench.linear("base")}
    tuned = {"name": "tuned", "encoder": bench.linear("tuned"), "after": "base"} | change
    with pytest.raises(RecipeError, match=match):
        bench.run([base, tuned])
    assert not (bench.root / "runs").exists()


def test_sweeps_over_encoders_steps_and_features(bench):
    y = bench.subject()
    wide = bench.rng.standard_normal((24, 3))
    np.savez(bench.root / "y.npz", ids=np.array(bench.ids), a=wide)
    sweep = {
        "encoder.alpha": [1.0, 10.0],
        "features.x.path": [f"{bench.root}/{n}.npz" for n in "xy"],
    }
    report = bench.run([{"name": "m", "encoder": bench.linear(), "sweep": sweep}])
    assert len(report.summary["members"]) == 4
    for member, entry in report.summary["members"].items():
        alpha = 10.0 if "alpha=10.0" in member else 1.0
        x = bench.x if member.endswith("x.npz") else wide
        p = out_of_fold(x, y, bench.ids, alpha=alpha)
        r = [np.corrcoef(p[:, t], y[:, t])[0, 1] for t in range(4)]
        assert entry["pearson"]["median"] == pytest.approx(np.median(r), abs=1e-6)


def test_training_zscore_is_undone_in_predictions_of_members_and_blends(bench):
    y = bench.subject()
    bench.blocks["s1"] = bench.blocks["s1"] * 7 + 100
    y = 7 * y + 100
    one = {"name": "one", "encoder": bench.linear("one")}
    two = {"name": "two", "encoder": bench.linear("two", alpha=30.0)}
    last = {"name": "last", "features": ["one", "two"], "encoder": "mean"}
    report = bench.run([one, two, last], responses={"zscore": "train"})

    def fit(x, truth, alpha):
        mean, spread = truth.mean(axis=0), truth.std(axis=0)
        fitted = ridge(x, (truth - mean) / spread, alpha)
        return lambda new: fitted(new) * spread + mean

    both = [out_of_fold(bench.x, y, bench.ids, alpha=a, fit=fit) for a in (1.0, 30.0)]
    wanted = np.mean(both, axis=0)
    np.testing.assert_allclose(values(report, ids=bench.ids), wanted, rtol=1e-5)
    r2 = 1 - ((y - wanted) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
    assert report.summary["scores"]["r2"]["median"] == pytest.approx(np.median(r2), abs=1e-4)


def test_training_zscore_leaves_out_what_was_not_measured(bench):
    y = bench.subject()
    gaps = np.asarray(bench.blocks["s1"].values).copy()
    gaps[:3, 0] = np.nan
    bench.blocks["s1"] = bench.blocks["s1"].copy(data=gaps)
    report = bench.run(
        [{"name": "m", "encoder": {"use": "ridge", "alphas": [1.0], "folds": 2}}],
        responses={"zscore": "train"},
    )
    fold, wanted = folds(bench.ids, 3), np.full(len(y), np.nan)
    for k in range(3):
        a = (fold != k) & ~np.isnan(gaps[:, 0])
        t = gaps[a, 0]
        fitted = ridge(bench.x[a], (t - t.mean()) / t.std())
        wanted[fold == k] = fitted(bench.x[fold == k]) * t.std() + t.mean()
    np.testing.assert_allclose(values(report, ids=bench.ids)[:, 0], wanted, atol=1e-5)


def test_session_zscore_averages_and_repeats(bench):
    session = ["a" if k % 2 else "b" for k in range(24)]
    y = {}
    for name in ("s1", "s2"):
        y[name] = bench.subject(name) * 3 + 5
        bench.blocks[name] = (bench.blocks[name] * 3 + 5).assign_coords(
            session=("row", np.array(session, dtype=object))
        )
    member = {"name": "m", "encoder": bench.linear()}
    report = bench.run([member], responses={"zscore": "session"})
    z = y["s1"].copy()
    for name in "ab":
        at = np.array(session) == name
        z[at] = (z[at] - z[at].mean(axis=0)) / z[at].std(axis=0)
    found = values(report, ids=bench.ids)
    np.testing.assert_allclose(found, out_of_fold(bench.x, z, bench.ids), atol=1e-10)

    for zscore in ("none", "train"):
        report = bench.run([member], responses={"average": ["subject"], "zscore": zscore})
        (block,) = report.predicted.values()
        mean = np.mean(list(y.values()), axis=0)
        np.testing.assert_allclose(
            block.sel(row=bench.ids).values,
            out_of_fold(bench.x, mean, bench.ids),
            atol=0.5 if zscore == "train" else 1e-9,
        )


def test_repeats_are_averaged_or_are_rows_of_their_own(bench):
    y = bench.subject()
    turns = np.stack([y, y + bench.rng.standard_normal(y.shape)], axis=2)
    turns[5, :, 1] = np.nan
    names = [f"t{k}" for k in range(4)]
    bench.blocks["s1"] = label_responses(turns, bench.ids, names, subject="s1")
    member = {"name": "m", "encoder": bench.linear()}
    mean = np.nanmean(turns, axis=2)
    report = bench.run([member])
    found = values(report, ids=bench.ids)
    np.testing.assert_allclose(found, out_of_fold(bench.x, mean, bench.ids), atol=1e-10)
    kept = bench.run([member], responses={"repeats": "keep"})
    assert kept.predicted["s1"].sizes["row"] == 47
    rows = [(k, r) for k in range(24) for r in range(2) if not (k == 5 and r == 1)]
    x, z = bench.x[[k for k, _ in rows]], np.stack([turns[k, :, r] for k, r in rows])
    wanted = out_of_fold(x, z, [bench.ids[k] for k, _ in rows])
    names = [f"{bench.ids[k]}#{r}" for k, r in rows]
    np.testing.assert_allclose(values(kept, ids=names), wanted, atol=1e-9)


def test_a_prediction_without_subject_or_time_answers_for_all(bench):
    ids = bench.ids[:8]
    pairs = [(i, j) for a, i in enumerate(ids) for j in ids[a + 1 :]]
    model = 1 - np.corrcoef(bench.x[:8])
    line = np.array([model[ids.index(a), ids.index(b)] for a, b in pairs])
    truth = {}
    for name in ("s1", "s2"):
        y = line[:, None] + 0.3 * bench.rng.random((len(pairs), 2))
        truth[name] = y
        labels = {"time": [0.1, 0.2]}
        bench.blocks[name] = label_responses(
            y, np.array(pairs, dtype=object), ["V1", "V1"], subject=name, target_labels=labels
        )
    bench.table["part"] = ["test"] * 24
    rdm = {"name": "m", "per": [], "encoder": {"use": "rdm"}}
    report = bench.run([rdm], split="parts", scores=["pearson"])
    assert len(report.scores) == 4
    for line_ in report.scores.itertuples():
        k = [0.1, 0.2].index(float(line_.time))
        r = np.corrcoef(truth[line_.subject][:, k], line)[0, 1]
        assert line_.value == pytest.approx(r, abs=1e-5)
    assert set(report.summary["scores"]["pearson"]["permutation_p"]) == {"V1"}

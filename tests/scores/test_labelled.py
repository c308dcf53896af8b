"""Scores of labelled blocks, against the same numbers from arrays that are known to correspond."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from striate.data import label_responses
from striate.errors import DataError, StriateError
from striate.scores import bootstrap
from striate.scores.correlation import normalise
from striate.scores.labelled import (
    LARGEST,
    matched,
    membership_of,
    resampled,
    score_table,
    summarise,
)
from striate.scores.resampling import over_targets
from striate.scores.significance import fdr

RNG = np.random.default_rng(0)
IDS = [f"im{k}" for k in range(30)]


def block(subject="s1", targets=4, ids=IDS, **more):
    return label_responses(
        RNG.standard_normal((len(ids), targets)),
        ids,
        [f"{subject}.v{k}" for k in range(targets)],
        subject=subject,
        **more,
    )


def noisy(truth, level=1.0):
    return truth.copy(data=truth.values + level * RNG.standard_normal(truth.shape))


@pytest.fixture
def truth():
    masks = {"V1": [True, True, False, False], "V4": [False, True, True, False]}
    labels = {"ceiling": [0.5, 0.8, 0.0, np.nan], "hemisphere": ["l", "l", "r", "r"]}
    return {
        "s1": block("s1", rois=masks, target_labels=labels),
        "s2": block("s2", 3, IDS[5:25]),
    }


@pytest.fixture
def predicted(truth):
    return {s: noisy(b) for s, b in truth.items()}


def test_a_table_has_every_score_of_every_target_by_label(truth, predicted):
    turned = {
        s: b.isel(row=RNG.permutation(len(b)), target=[2, 0, 1]) for s, b in predicted.items()
    }
    table = score_table(truth, turned, ["pearson", "spearman", "mse"], "m")
    assert len(table) == 3 * 6
    for _, line in table.iterrows():
        y = truth[line.subject].sel(target=line.target).values
        p = predicted[line.subject].sel(target=line.target).values
        expected = {
            "pearson": pearsonr(y, p)[0],
            "spearman": spearmanr(y, p)[0],
            "mse": ((y - p) ** 2).mean(),
        }[line.score]
        assert line.value == pytest.approx(expected, rel=1e-9)
        assert line.rows == len(y)
        assert not line.flat
    one = table[(table.score == "pearson") & (table.subject == "s1")].set_index("target")
    assert one["roi"].to_dict() == {"s1.v0": "V1", "s1.v1": "V1;V4", "s1.v2": "V4"}
    assert one["hemisphere"].tolist() == ["l", "l", "r"]
    value = one["value"].to_numpy()
    ceiling = np.array([0.5, 0.8, 0.0])
    np.testing.assert_allclose(one["ceiling"], ceiling)
    np.testing.assert_allclose(one["normalised"], normalise(value, ceiling, "pearson"))
    assert table[table.score == "mse"]["normalised"].isna().all()
    assert set(table[table.subject == "s2"]["roi"]) == {""}
    assert (table["member"] == "m").all()


def test_targets_that_nobody_predicted_are_left_out_and_counted(truth, predicted):
    predicted["s1"].values[:, 1] = np.nan
    del predicted["s2"]
    (found,) = matched(truth, predicted)
    assert found.subject == "s1"
    assert found.left_out == 1
    assert list(found.targets.index) == ["s1.v0", "s1.v2", "s1.v3"]
    assert found.regions["V4"].tolist() == [False, True, False]
    np.testing.assert_array_equal(found.truth, truth["s1"].values[:, [0, 2, 3]])


def test_a_target_predicted_on_some_rows_only_is_an_error(truth, predicted):
    predicted["s1"].values[[3, 4], 2] = np.nan
    with pytest.raises(DataError, match=r"m lacks 2 predictions of 's1'.* target 's1\.v2'"):
        score_table(truth, predicted, ["pearson"], "m")


def test_nothing_predicted_or_an_unknown_score_is_an_error(truth, predicted):
    with pytest.raises(StriateError, match=r"unknown score 'pearsn': did you mean 'pearson'\?"):
        score_table(truth, predicted, ["pearsn"], "m")
    with pytest.raises(DataError, match="predicted none of the measured targets"):
        score_table(truth, {"s9": block("s9")}, ["pearson"], "m")


def test_flat_predictions_are_told(truth, predicted):
    predicted["s1"].values[:, 0] = 3.0
    table = score_table(truth, predicted, ["pearson"], "m").set_index("target")
    assert table.loc["s1.v0", "flat"]
    assert table.loc["s1.v0", "value"] == 0
    assert not table.loc["s1.v1", "flat"]


def test_one_prediction_answers_for_all_subjects_and_times():
    labels = {"time": [0, 1]}
    values = RNG.standard_normal((2, 20, 2))
    truth = {
        s: label_responses(v, IDS[:20], ["V1", "V1"], subject=s, target_labels=labels)
        for s, v in zip(("a", "b"), values, strict=True)
    }
    model = RNG.standard_normal((20, 1))
    general = {"": label_responses(model, IDS[:20], ["V1"])}
    table = score_table(truth, general, ["spearman"], "m")
    expected = [spearmanr(model[:, 0], values[s, :, t])[0] for s in (0, 1) for t in (0, 1)]
    np.testing.assert_allclose(table["value"], expected, atol=1e-12)
    assert table["time"].tolist() == [0, 1, 0, 1]


def test_significance_is_of_permutations_and_corrected_over_all_targets(truth, predicted):
    predicted["s1"].values[:, 3] = RNG.standard_normal(30)
    table = score_table(truth, predicted, ["pearson", "mse"], "m", draws=500)
    first = table[table.score == "pearson"]
    p = first["p"].to_numpy()
    assert ((p > 0) & (p <= 1)).all()
    assert p[:3].max() < 0.05 < p[3]
    np.testing.assert_allclose(first["q"], fdr(p))
    assert score_table(truth, predicted, ["pearson"], "m")["p"].isna().all()


def test_units_are_exchanged_whole():
    truth = block("s", 1, IDS[:12])
    units = np.repeat([f"u{k}" for k in range(4)], 3).astype(object)
    truth = truth.assign_coords(unit=("row", units))
    table = score_table({"s": truth}, {"s": truth}, ["pearson"], "m", draws=2000)
    # Four units have 24 orders, so not even a perfect prediction gets below 1 / 24.
    assert table["p"].iloc[0] == pytest.approx(1 / 24, abs=0.02)
    alone = score_table({"s": truth.drop_vars("unit")}, {"s": truth}, ["pearson"], "m", draws=2000)
    assert alone["p"].iloc[0] < 0.005


def test_summary_by_region_and_subject(truth, predicted):
    table = score_table(truth, predicted, ["pearson"], "m")
    found = summarise(table)
    value = table.set_index("target")["value"]
    assert found["median"] == pytest.approx(value.median())
    assert found["mean"] == pytest.approx(value.mean())
    assert found["targets"] == 7
    assert set(found["by_roi"]) == {"V1", "V4"}
    assert found["by_roi"]["V4"]["mean"] == pytest.approx(value[["s1.v1", "s1.v2"]].mean())
    assert found["by_subject"]["s2"]["median"] == pytest.approx(value[-3:].median())
    over = summarise(table, "normalised")
    assert over["left_out"] + over["targets"] == 7
    assert over["left_out"] >= 2


def test_regions_of_many_targets_are_told_in_order():
    inside = RNG.random((500, 11)) < 0.3
    inside[:3] = False
    masks = {f"R{k}": inside[:, k] for k in (3, 1, 10, 2, 0, 4, 5, 6, 7, 8, 9)}
    truth = {"s1": block("s1", 500, rois=masks)}
    table = score_table(truth, {s: noisy(b) for s, b in truth.items()}, ["pearson"], "m")
    wanted = [";".join(n for n, mask in masks.items() if mask[t]) for t in range(500)]
    assert table["roi"].tolist() == wanted
    found = summarise(table)
    assert found["by_subject"]["s1"]["targets"] == 500 and "" not in found["by_roi"]
    for name, mask in masks.items():
        values = table["value"][mask]
        assert found["by_roi"][name]["targets"] == mask.sum()
        assert found["by_roi"][name]["median"] == np.median(values)
        assert found["by_roi"][name]["mean"] == pytest.approx(values.mean(), rel=1e-12)


def test_resampling_draws_stimuli_for_all_subjects_at_once(truth, predicted):
    found = resampled(truth, predicted, "pearson", over_targets("mean"), 50, seed=3)
    t, p = np.full((30, 7), np.nan), np.zeros((30, 7))
    t[:, :4], p[:, :4] = truth["s1"], predicted["s1"]
    t[5:25, 4:], p[5:25, 4:] = truth["s2"], predicted["s2"]
    expected = bootstrap(t, p, "pearson", 50, np.array(IDS), 3, reduce=over_targets("mean"))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    centre = score_table(truth, predicted, ["pearson"], "m")["value"].mean()
    assert abs(np.mean(found) - centre) < 0.1
    again = resampled(truth, predicted, "pearson", over_targets("mean"), 50, seed=3)
    np.testing.assert_array_equal(found, again)


def test_resampling_keeps_units_together(truth, predicted):
    # Every unit holds the same rows twice: as many draws, but half as many things to draw.
    twice = {
        s: b.isel(row=np.repeat(np.arange(len(b)), 2)).assign_coords(
            row=("row", [f"{r}{k}" for r in b.row.values for k in "ab"]),
            unit=("row", np.repeat(b.row.values, 2)),
        )
        for s, b in truth.items()
    }
    other = {
        s: b.isel(row=np.repeat(np.arange(len(b)), 2)).assign_coords(
            row=("row", [f"{r}{k}" for r in b.row.values for k in "ab"])
        )
        for s, b in predicted.items()
    }
    units = {s: b.assign_coords(unit=("row", b.row.values)) for s, b in truth.items()}
    wide = resampled(units, predicted, "pearson", over_targets("mean"), 300).std()
    grouped = resampled(twice, other, "pearson", over_targets("mean"), 300).std()
    assert grouped == pytest.approx(wide, rel=1e-4)
    lone = {s: b.assign_coords(unit=("row", b.row.values)) for s, b in twice.items()}
    apart = resampled(lone, other, "pearson", over_targets("mean"), 300).std()
    assert apart < 0.85 * grouped


def test_resampling_of_pairs_draws_stimuli_not_pairs():
    i, j = np.triu_indices(8, 1)
    names = np.array([f"s{k}" for k in range(8)], dtype=object)
    pairs = np.stack([names[i], names[j]], axis=1)
    truth = label_responses(RNG.standard_normal((28, 2)), pairs, subject="s")
    predicted = noisy(truth)
    found = resampled({"s": truth}, {"s": predicted}, "spearman", over_targets("mean"), 40, 1)
    expected = bootstrap(
        truth.values.astype(np.float32),
        predicted.values.astype(np.float32),
        "spearman",
        40,
        seed=1,
        pairs=np.stack([i, j], axis=1),
        reduce=over_targets("mean"),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_resampling_says_when_it_cannot(truth, predicted, monkeypatch):
    assert LARGEST > 10**6
    monkeypatch.setattr("striate.scores.labelled.LARGEST", 100)
    with pytest.raises(StriateError, match="resampling 30 rows of 7 targets needs too much memory"):
        resampled(truth, predicted, "pearson", over_targets("mean"), 3)
    with pytest.raises(DataError, match="none of the measured targets"):
        resampled(truth, {}, "pearson", over_targets("mean"), 3)


def test_membership_stands_in_the_order_of_resampled_columns(truth, predicted):
    predicted["s1"].values[:, 1] = np.nan
    table = membership_of(truth, predicted)
    assert list(table.index) == [
        *("s1.v0", "s1.v2", "s1.v3"),
        *(f"s2.v{k}" for k in range(3)),
    ]
    assert table["V1"].tolist() == [True] + [False] * 5
    assert table["V4"].dtype == bool

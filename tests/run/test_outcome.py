"""Intervals and comparisons of planted predictions, and the P values of RDMs."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data import label_responses
from striate.run import outcome
from striate.run.outcome import headline, intervals, rdm_permutation
from striate.scores import score_table

from .worlds import Bench


def planted(rng, rows=60, targets=12, r=0.6):
    """Truth and a prediction that correlate by `r` in the population."""
    truth = rng.standard_normal((rows, targets))
    predicted = r * truth + np.sqrt(1 - r**2) * rng.standard_normal((rows, targets))
    rois = {"V1": [k < 6 for k in range(targets)]}
    ids = [f"i{k}" for k in range(rows)]
    return tuple({"s": label_responses(v, ids, subject="s", rois=rois)} for v in (truth, predicted))


def test_intervals_cover_the_planted_correlation(monkeypatch):
    monkeypatch.setattr(outcome, "DRAWS", 200)
    rng, inside = np.random.default_rng(0), 0
    for _ in range(60):
        truth, predicted = planted(rng)
        found, _ = intervals(truth, {"m": predicted}, "pearson", "m")
        low, high = found["interval"]
        inside += low < 0.6 < high
    assert 51 <= inside <= 60


def test_comparisons_have_the_right_sign_and_are_the_same_again():
    rng = np.random.default_rng(1)
    truth, good = planted(rng)
    bad = {"s": good["s"] + 2 * rng.standard_normal(good["s"].shape)}
    shuffled = {"s": good["s"].copy(data=good["s"].values[rng.permutation(60)])}
    members = {"bad": bad, "none": shuffled, "same": dict(good), "good": good}
    first = intervals(truth, members, "pearson", "good")
    for name in ("bad", "none"):
        low, high = first[1][name]["interval"]
        assert 0 < low < high
    assert first[1]["same"]["interval"] == [0.0, 0.0]
    assert first == intervals(truth, members, "pearson", "good")
    low, _ = intervals(truth, members, "pearson", "bad")[1]["good"]["interval"]
    assert low < 0


def test_members_that_predict_other_targets_are_not_compared():
    truth, good = planted(np.random.default_rng(2))
    part = {"s": good["s"].isel(target=slice(0, 8))}
    other = {"s": good["s"].isel(target=slice(4, 12))}
    assert not intervals(truth, {"other": other, "part": part}, "pearson", "part")[1]
    assert intervals(truth, {"good": good, "part": part}, "pearson", "part")[0]


def test_intervals_lie_about_the_measured_median():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((40, 400))
    # Two heaps of targets: scatter alone moves the median towards the gap between them.
    noise = np.where(np.arange(400) < 180, 0.8, 0.3)
    values = signal + noise * rng.standard_normal((40, 400))
    ids = [f"i{k}" for k in range(40)]
    truth, predicted = ({"s": label_responses(v, ids, subject="s")} for v in (values, signal))
    table = score_table(truth, predicted, ["pearson"], "m")
    measured = {"m": headline(table, ["pearson"])}
    found, _ = intervals(truth, {"m": predicted}, "pearson", "m", measured)
    low, high = found["interval"]
    assert low < measured["m"]["pearson"]["median"] < high
    loose, _ = intervals(truth, {"m": predicted}, "pearson", "m")
    assert high - low == pytest.approx(loose["interval"][1] - loose["interval"][0])
    assert not loose["interval"][0] < measured["m"]["pearson"]["median"] < loose["interval"][1]


def test_too_large_data_have_no_intervals(monkeypatch):
    truth, good = planted(np.random.default_rng(2))
    monkeypatch.setattr(outcome, "LARGEST", 100)
    assert intervals(truth, {"good": good}, "pearson", "good") == ({}, {})


def test_a_run_tells_intervals_of_what_it_reports(tmp_path):
    bench = Bench(tmp_path, stimuli=30)
    bench.subject(noise=0.5)
    weak = {"name": "weak", "encoder": bench.linear(alpha=1e4)}
    report = bench.run([weak, {"name": "m", "encoder": bench.linear()}])
    entry = report.summary["scores"]["pearson"]
    low, high = entry["resampled"]["interval"]
    assert low < entry["median"] < high
    assert set(report.summary["comparisons"]) == {"weak"}


def pairs(rng, subjects=("s1", "s2"), images=12, noise=0.3, seed=0):
    ids = [f"i{k}" for k in range(images)]
    names = np.array([(a, b) for k, a in enumerate(ids) for b in ids[k + 1 :]], dtype=object)
    x = np.random.default_rng(seed).standard_normal((images, 8))
    model = (1 - np.corrcoef(x))[np.triu_indices(images, 1)][:, None]
    truth = {
        s: label_responses(model + noise * rng.random(model.shape), names, ["V1"], subject=s)
        for s in subjects
    }
    blank = {
        s: label_responses(rng.random(model.shape), names, ["V1"], subject=s) for s in subjects
    }
    return truth, {"": label_responses(model, names, ["V1"])}, blank


def test_permutation_of_images_tells_a_model_from_noise():
    truth, model, noise = pairs(np.random.default_rng(0))
    assert rdm_permutation(truth, model)["V1"] < 0.01
    assert rdm_permutation(truth, noise)["V1"] > 0.05


def test_incomplete_or_unlike_rdms_have_no_p_value():
    rng = np.random.default_rng(0)
    truth, model, _ = pairs(rng)
    some = {s: b.isel(row=slice(0, 60)) for s, b in truth.items()}
    assert rdm_permutation(some, model) == {}
    less = truth | {"s2": pairs(rng, images=11)[0]["s2"]}
    assert rdm_permutation(less, model) == {}
    images, predicted = planted(rng)
    assert rdm_permutation(images, predicted) == {}

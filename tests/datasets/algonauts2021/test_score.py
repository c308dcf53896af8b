"""The official score of 2021 against its definition, and what the kit prints in its place."""

import numpy as np
import pytest

from striate.data import label_responses
from striate.datasets.algonauts2021 import Algonauts2021
from striate.errors import DataError


def made(rng, rows=40):
    """Two subjects with a few voxels; voxel 2 of sub01 is of both regions."""
    blocks = {}
    for subject, count in (("sub01", 5), ("sub02", 4)):
        rois = {"V1": [k < 3 for k in range(count)], "EBA": [k >= 2 for k in range(count)]}
        ceiling = rng.uniform(0.3, 1.0, count)
        if subject == "sub02":
            ceiling[0] = 0.0
        blocks[subject] = label_responses(
            rng.standard_normal((rows, count)),
            [f"{k + 1:04d}" for k in range(rows)],
            [f"v{k}" for k in range(count)],
            subject=subject,
            rois=rois,
            target_labels={"ceiling": ceiling},
        )
    return blocks


def slow_score(truth, predicted, factor=1.0, ceilings=True):
    """The challenge's score by its definition, one voxel at a time."""
    by_roi = {}
    for roi in ("V1", "EBA"):
        people = []
        for subject, block in truth.items():
            own = []
            for k in range(block.shape[1]):
                if not block[f"roi:{roi}"].values[k] or block.ceiling.values[k] <= 0:
                    continue
                r = np.corrcoef(block.values[:, k], predicted[subject].values[:, k])[0, 1]
                own.append(r * factor / (np.sqrt(block.ceiling.values[k]) if ceilings else 1))
            people.append(np.mean(own))
        by_roi[roi] = np.mean(people)
    return np.mean(list(by_roi.values())), by_roi


def test_official_score_against_a_slow_loop():
    rng = np.random.default_rng(2)
    truth = made(rng)
    predicted = {
        s: b.copy(data=0.5 * b.values + rng.standard_normal(b.shape)) for s, b in truth.items()
    }
    value, by_roi = slow_score(truth, predicted)
    scored = Algonauts2021("").official_score(truth, predicted)
    for name in ("official", "corrected"):
        assert scored[name]["value"] == pytest.approx(value)
        assert scored[name]["by_roi"] == pytest.approx(by_roi)
        assert scored[name]["left_out"] == 1
        assert (scored[name]["unit"], scored[name]["name"]) == ("r", "algonauts2021 mini")
    full = Algonauts2021("", track="full").official_score(truth, predicted)["official"]
    every = [
        np.corrcoef(b.values[:, k], predicted[s].values[:, k])[0, 1] / np.sqrt(c)
        for s, b in truth.items()
        for k, c in enumerate(b.ceiling.values)
        if c > 0
    ]
    assert full["value"] == pytest.approx(np.mean(every))
    # The order of rows and targets is nothing.
    turned = {
        s: b.isel(row=slice(None, None, -1), target=slice(None, None, -1))
        for s, b in predicted.items()
    }
    assert Algonauts2021("").official_score(truth, turned)["official"]["value"] == pytest.approx(
        value
    )
    opposite = {s: -b for s, b in predicted.items()}
    turned_over = Algonauts2021("").official_score(truth, opposite)["corrected"]["value"]
    assert turned_over == pytest.approx(-value)


def test_the_kit_prints_correlations_a_hundredth_too_large():
    rng = np.random.default_rng(3)
    truth = made(rng, rows=100)
    predicted = {s: b.copy(data=b.values + rng.standard_normal(b.shape)) for s, b in truth.items()}
    plain = Algonauts2021("").official_score(truth, predicted)
    kit = Algonauts2021("", quirks=("inflated",)).official_score(truth, predicted)
    ratio = kit["official"]["value"] / plain["official"]["value"]
    assert ratio == pytest.approx(1.0101, abs=5e-5)
    assert kit["corrected"] == plain["corrected"]
    # As the kit computes it: a sample covariance over population deviations.
    bare = Algonauts2021("", quirks=("inflated", "unnormalised")).official_score(truth, predicted)
    block, other = truth["sub01"].values, predicted["sub01"].values
    own = [
        np.cov(block[:, k], other[:, k])[0, 1] / (block[:, k].std() * other[:, k].std())
        for k in range(5)
    ]
    block, other = truth["sub02"].values, predicted["sub02"].values
    own += [
        np.cov(block[:, k], other[:, k])[0, 1] / (block[:, k].std() * other[:, k].std())
        for k in range(4)
    ]
    wanted = np.mean([np.mean([np.mean(own[:3]), np.mean(own[5:8])]),
                      np.mean([np.mean(own[2:5]), np.mean(own[7:])])])  # fmt: skip
    assert bare["official"]["value"] == pytest.approx(wanted)


def test_what_is_not_predicted_is_counted():
    truth = made(np.random.default_rng(0))
    assert Algonauts2021("").official_score({}, {}) == {}
    predicted = {s: b.copy(data=b.values.copy()) for s, b in truth.items()}
    predicted["sub02"].values[:3, 1] = np.nan
    with pytest.raises(DataError, match=r"3 of 160 responses of sub02 are not predicted.*v1"):
        Algonauts2021("").official_score(truth, predicted)


@pytest.mark.parametrize("track", ["mini", "full"])
def test_voxels_and_subjects_without_predictions_make_the_score_partial(track):
    rng = np.random.default_rng(5)
    truth = made(rng)
    predicted = {s: b.copy(data=b.values + rng.standard_normal(b.shape)) for s, b in truth.items()}
    ours = Algonauts2021("", track=track)
    keep = {"sub01": [0, 2, 4], "sub02": [1, 2, 3]}
    less = {s: b.isel(target=keep[s]) for s, b in predicted.items()}
    found = ours.official_score(truth, less)
    assert set(found) == {"partial", "corrected"}
    alone = ours.official_score({s: b.isel(target=keep[s]) for s, b in truth.items()}, less)
    for name, same in (("partial", "official"), ("corrected", "corrected")):
        assert (found[name]["not_predicted"], found[name]["of"]) == (3, 9)
        assert found[name]["value"] == pytest.approx(alone[same]["value"])
        assert "of" not in alone[same]
    one = ours.official_score(truth, {"sub02": predicted["sub02"]})
    assert (one["partial"]["not_predicted"], one["partial"]["of"]) == (5, 9)
    assert ours.official_score(truth, {"": predicted["sub01"].isel(target=[])}) == {}


def test_what_is_left_out_agrees_with_what_is_done():
    rng = np.random.default_rng(6)
    truth = made(rng)
    predicted = {s: b.copy(data=b.values + rng.standard_normal(b.shape)) for s, b in truth.items()}
    bare = Algonauts2021("", track="full", quirks=("unnormalised",))
    found = bare.official_score(truth, predicted)
    every = [
        np.corrcoef(b.values[:, k], predicted[s].values[:, k])[0, 1]
        for s, b in truth.items()
        for k in range(b.shape[1])
    ]
    assert found["official"]["value"] == pytest.approx(np.mean(every))
    assert found["official"]["left_out"] == 0 and found["corrected"]["left_out"] == 1

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import label_responses
from striate.datasets.algonauts2023.score import score
from striate.errors import DataError

PREDICTED = np.array([[0, 1, 2], [1, 0, 1], [2, 2, 0], [3, 1, 3]], dtype=float)
MEASURED = np.array([[0, 0, 1], [2, 1, 0], [1, 2, 2], [3, 3, 1]], dtype=float)
CEILING = [0.5, 0.4, 0.0]


def block(values, ceiling=None, subject="subj01", rois=None, ids=None):
    ids = ids or [f"nsd{k:05d}" for k in range(len(values))]
    targets = [f"lh.{k:06d}" for k in range(values.shape[1])]
    labels = {} if ceiling is None else {"ceiling": np.array(ceiling)}
    return label_responses(
        np.asarray(values, dtype=float),
        ids,
        targets,
        subject=subject,
        rois=rois,
        target_labels=labels,
    )


def test_the_numbers_known_by_hand():
    rois = {"A": [True, True, False], "B": [False, True, True], "C": [False, False, True]}
    truth = {"subj01": block(MEASURED, CEILING, rois=rois)}
    found = score(truth, {"subj01": block(PREDICTED)})
    official, corrected = found["official"], found["corrected"]
    assert official["value"] == pytest.approx(41.6667, abs=1e-4)
    assert corrected["value"] == pytest.approx(62.5, abs=1e-4)
    assert official["by_roi"] == pytest.approx({"A": 62.5, "B": 12.5, "C": 0})
    assert corrected["by_roi"] == pytest.approx({"A": 62.5, "B": 25})
    assert official["vertices"] == 3 and corrected["vertices"] == 2
    assert official["zero_ceilings"] == 1 and official["unit"] == "percent"
    # The third vertex has no signal, but the opposite prediction correlates a little.
    turned = PREDICTED * [1, 1, -1]
    found = score(truth, {"subj01": block(turned)})
    assert found["official"]["by_roi"]["C"] == pytest.approx(100)
    assert found["official"]["value"] == pytest.approx(75)
    assert found["corrected"]["value"] == pytest.approx(62.5)
    found = score(truth, {"subj01": block(-PREDICTED)})
    assert found["corrected"]["value"] == pytest.approx(-62.5)
    assert found["official"]["value"] == pytest.approx(100 / 3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_against_a_slow_loop_pooled_over_subjects(seed):
    rng = np.random.default_rng(seed)
    truth, predicted, every = {}, {}, []
    for k, (rows, targets) in enumerate(((12, 5), (9, 11))):
        y, p = rng.standard_normal((2, rows, targets))
        p[:, 0] = 1.0
        ceiling = rng.uniform(0, 1, targets) * (rng.random(targets) > 0.3)
        truth[f"s{k}"] = block(y, ceiling, f"s{k}")
        order, turn = rng.permutation(targets), rng.permutation(rows)
        predicted[f"s{k}"] = block(p, None, f"s{k}").isel(row=turn, target=order)
        for v in range(targets):
            x, z = y[:, v] - y[:, v].mean(), p[:, v] - p[:, v].mean()
            r = 0.0 if v == 0 else (x * z).sum() / np.sqrt((x**2).sum() * (z**2).sum())
            limit = 1e-14 if ceiling[v] == 0 else ceiling[v]
            every.append(min(100.0, 100 * max(r, 0.0) ** 2 / limit))
    assert score(truth, predicted)["official"]["value"] == pytest.approx(np.mean(every))


def test_hidden_rows_unknown_ceilings_and_what_lacks():
    y = np.vstack([MEASURED, np.full((2, 3), np.nan)])
    p = np.vstack([PREDICTED, np.full((2, 3), np.nan)])
    truth = {"subj01": block(y, CEILING)}
    found = score(truth, {"subj01": block(p)})
    assert found["official"]["value"] == pytest.approx(41.6667, abs=1e-4)
    assert score({"subj01": block(MEASURED)}, {"subj01": block(PREDICTED)}) == {}
    assert score({"subj01": block(y, CEILING)[4:]}, {"subj01": block(p)}) == {}

    found = score({"subj01": block(MEASURED, [0.5, np.nan, 0.0])}, {"subj01": block(PREDICTED)})
    assert found["official"]["without_ceiling"] == 1
    assert found["official"]["value"] == pytest.approx(50)
    found = score(truth, {"subj01": block(PREDICTED)[:, :2]})
    assert set(found) == {"partial", "corrected"}
    assert found["partial"]["vertices"] == 2
    assert found["partial"]["value"] == pytest.approx(62.5)
    for one in found.values():
        assert (one["not_predicted"], one["of"]) == (1, 3)
    two = truth | {"subj02": block(y, CEILING, subject="subj02")}
    found = score(two, {"subj01": block(p)})
    assert found["partial"]["value"] == pytest.approx(41.6667, abs=1e-4)
    assert (found["corrected"]["not_predicted"], found["corrected"]["of"]) == (3, 6)
    p[1, 1] = p[2, 1] = np.nan
    with pytest.raises(DataError, match=r"2 of 12 predictions of subj01 .*lh.000001"):
        score(truth, {"subj01": block(p)})
    assert score(truth, {"subj02": block(PREDICTED, subject="subj02")}) == {}

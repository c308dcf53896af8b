"""RES over labels is the solver's, and several weightings are chosen from by inner folds."""

import numpy as np
import pytest

from striate.data import ArraySpace, Features, label_responses
from striate.encoders.res import RES
from striate.errors import RecipeError
from striate.machine import Machine, using
from striate.solvers.res import res
from striate.testing import stimuli_case

RNG = np.random.default_rng(0)


def arrays(case):
    view = case.features.rows(case.seen)
    x = np.concatenate([view.matrix(n) for n in view.names], axis=1)
    new = case.features.rows(tuple(case.rows.row.values))
    return x, np.concatenate([new.matrix(n) for n in new.names], axis=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"similarity": "spearman", "normaliser": "none", "centre": False},
        {"powers": (2.0,), "neighbours": (9,)},
    ],
)
def test_predictions_are_the_solvers(options):
    case = stimuli_case()
    fitted = RES(**options).fit(case.features.rows(case.seen), case.groups)
    found = fitted.predict(case.features, case.rows)
    x, new = arrays(case)
    y = np.concatenate([b.values for g in case.groups for b in g], axis=1)
    own = {k: v for k, v in options.items() if k not in ("powers", "neighbours")}
    own |= {"power": options.get("powers", (1.0,))[0]}
    own |= {"neighbours": options.get("neighbours", (None,))[0]}
    np.testing.assert_allclose(found.values, res(x, y, new, **own), rtol=1e-4, atol=1e-5)
    assert list(found.row.values) == list(case.rows.row.values)
    assert fitted.note_ == {"features": 24, "training rows that are constant": 0}
    assert len(fitted.units_) == 1  # groups over the same rows share the features


def test_targets_measured_on_other_rows_have_their_own():
    case = stimuli_case()
    block = case.groups[0][0].copy(deep=True)
    block.values[:9, 1] = np.nan
    fitted = RES().fit(case.features.rows(case.seen), ([block],))
    found = fitted.predict(case.features, case.rows)
    x, new = arrays(case)
    for t in range(3):
        kept = ~np.isnan(block.values[:, t])
        expected = res(x[kept], block.values[kept, t : t + 1], new)[:, 0]
        at = list(found.target.values).index(block.target.values[t])
        np.testing.assert_allclose(found.values[:, at], expected, rtol=1e-4, atol=1e-5)


def test_each_group_gets_the_weighting_that_predicts_it():
    angle = RNG.uniform(0, 2 * np.pi, 150)
    ids = tuple(f"im{k}" for k in range(150))
    x = np.stack([np.cos(angle + k * 2 * np.pi / 3) for k in range(3)], axis=1)
    sharp = np.cos(3 * angle)[:, None] + 0.1 * RNG.standard_normal((150, 2))
    # far from the noise of single stimuli, many of them are the better mean
    smooth = np.cos(angle)[:, None] + 2.0 * RNG.standard_normal((150, 60))
    blocks = [
        label_responses(v, ids, [f"{n}{k}" for k in range(v.shape[1])], subject="s1")
        for n, v in (("sharp", sharp), ("smooth", smooth))
    ]
    view = Features({"x": ArraySpace(ids, x)}, ids)
    fitted = RES(neighbours=(0, 5)).fit(view, tuple([b] for b in blocks))
    assert [p["weighting"] for p in fitted.parts_] == [1, 0]
    assert fitted.note_["groups with power 1, all neighbours"] == 1
    assert fitted.note_["groups with power 1, 5 neighbours"] == 1
    assert len(fitted.units_) == 1


def test_batches_that_fit_into_memory_predict_the_same():
    case = stimuli_case()
    fitted = RES().fit(case.features.rows(case.seen), case.groups)
    whole = fitted.predict(case.features, case.rows).values
    with using(Machine(memory=20_000, threads=1, quiet=True)):
        parts = fitted.predict(case.features, case.rows).values
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


def test_mistakes_are_named():
    case = stimuli_case()
    with pytest.raises(RecipeError, match=r"powers \(0\.0,\)"):
        RES(powers=(0.0,))
    with pytest.raises(RecipeError, match=r"neighbours \(-1,\)"):
        RES(neighbours=(-1,))
    with pytest.raises(RecipeError, match="RES cannot start from another fit"):
        RES().fit(case.features, case.groups, start=RES())

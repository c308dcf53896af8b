"""Banded ridge over the feature spaces of a member."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from striate.data import ArraySpace, Features, label_responses
from striate.encoders.banded import Banded
from striate.errors import RecipeError
from striate.splits import folds_of

ROWS, TEST = 80, 10
ALPHAS = (0.1, 1.0, 10.0, 100.0)


class Problem:
    """Targets of one space each, of three."""

    def __init__(self, targets=6, seed=0):
        rng = np.random.default_rng(seed)
        self.ids = tuple(f"im{k}" for k in range(ROWS + TEST))
        self.x = {
            n: rng.standard_normal((ROWS + TEST, p))
            for n, p in zip("abc", (10, 25, 40), strict=True)
        }
        signal = [self.x[n] @ rng.standard_normal((self.x[n].shape[1], targets)) for n in "abc"]
        self.y = np.concatenate([s / s.std() for s in signal[:2]], axis=1) + 2
        self.y += 0.3 * rng.standard_normal(self.y.shape)
        spaces = {n: ArraySpace(self.ids, v) for n, v in self.x.items()}
        self.features = Features(spaces, self.ids)
        self.block = label_responses(self.y, self.ids, subject="s1")
        self.train, self.test = self.block[:ROWS], self.block[ROWS:]
        self.seen = self.features.rows(self.ids[:ROWS])


def test_predictions_are_those_of_a_ridge_on_scaled_spaces():
    p = Problem()
    fitted = Banded(ALPHAS, draws=12, folds=4, seed=3).fit(p.seen, [[p.train]])
    (part,) = fitted.parts_
    assert fitted.bands_ == ["a", "b", "c"]
    predicted = fitted.predict(p.features, p.test).values
    for t in range(p.y.shape[1]):
        x = np.concatenate([np.sqrt(part["gamma"][b, t]) * p.x[n] for b, n in enumerate("abc")], 1)
        peer = Ridge(part["alpha"][t]).fit(x[:ROWS], p.y[:ROWS, t])
        np.testing.assert_allclose(predicted[:, t], peer.predict(x[ROWS:]), rtol=1e-6, atol=1e-8)
    # the choice is that of inner folds by units
    folds = folds_of(p.ids[:ROWS], 4, 3)
    from striate.solvers.banded import banded_ridge_cv

    fit = banded_ridge_cv(
        [x[:ROWS] for x in p.x.values()], p.y[:ROWS], ALPHAS, folds, draws=12, seed=3
    )
    np.testing.assert_allclose(part["gamma"], fit.gamma)


@pytest.mark.parametrize("search", ["exhaustive", "halving", "guided"])
def test_weights_and_shares_tell_the_planted_spaces(search):
    p = Problem()
    fitted = Banded(ALPHAS, search=search).fit(p.seen, [[p.train]])
    gamma, share = (fitted.parts_[0][n] for n in ("gamma", "share"))
    assert gamma[0, :6].mean() > 0.8 and gamma[1, 6:].mean() > 0.8 and gamma[2].mean() < 0.15
    assert share[0, :6].mean() > 0.7 and share[1, 6:].mean() > 0.7 and share[2].mean() < 0.1
    note = fitted.note_
    assert note["features"] == 75
    assert note["mean weight of a"] == pytest.approx(gamma[0].mean())
    assert note["mean share of c in the training rows"] == pytest.approx(share[2].mean())


def test_spaces_can_be_joined():
    p = Problem()
    fitted = Banded(ALPHAS, bands={"odd": ("a", "c*")}).fit(p.seen, [[p.train]])
    assert fitted.bands_ == ["odd", "b"]
    assert fitted.parts_[0]["gamma"].shape == (2, 12)
    apart = Features({n: p.features.spaces[n] for n in "acb"}, p.ids)
    joined = np.concatenate([p.x["a"], p.x["c"]], axis=1)
    beside = Features({"odd": ArraySpace(p.ids, joined), "b": apart.spaces["b"]}, p.ids)
    expected = Banded(ALPHAS).fit(beside.rows(p.ids[:ROWS]), [[p.train]]).predict(beside, p.test)
    np.testing.assert_allclose(
        fitted.predict(p.features, p.test).values, expected.values, rtol=1e-8
    )


def test_rows_of_two_stimuli_have_two_of_each_column():
    p = Problem()
    pairs = np.array([[p.ids[k], p.ids[k + 1]] for k in range(0, ROWS, 2)], dtype=object)
    block = label_responses(p.y[0:ROWS:2], pairs, subject="s1")
    fitted = Banded(ALPHAS, draws=6).fit(p.seen, [[block]])
    assert fitted.parts_[0]["coef"].shape == (150, 12)
    assert np.isfinite(fitted.predict(p.features, block).values).all()


def test_mistakes_are_named():
    p = Problem()
    with pytest.raises(RecipeError, match=r"'x' = .* names none of a, b, c"):
        Banded(bands={"x": ("d*",)}).fit(p.seen, [[p.train]])
    with pytest.raises(RecipeError, match="'a' is in the bands 'x' and 'y'"):
        Banded(bands={"x": ("a",), "y": ("*",)}).fit(p.seen, [[p.train]])
    with pytest.raises(RecipeError, match="'c' has the name of a space"):
        Banded(bands={"c": ("a",)}).fit(p.seen, [[p.train]])
    with pytest.raises(RecipeError, match="alphas"):
        Banded(())
    with pytest.raises(RecipeError, match="draws = 0"):
        Banded(draws=0)
    with pytest.raises(RecipeError, match="cannot start"):
        Banded().fit(p.seen, [[p.train]], start=Banded())

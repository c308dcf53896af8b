"""Ridge against scikit-learn, and what happens to gaps, groups and starts."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.linear_model import Ridge as Reference

from striate.data import ArraySpace, Features, label_responses
from striate.encoders.ridge import LeastSquares, Ridge
from striate.encoders.sklearn import Regressor
from striate.errors import DataError, RecipeError
from striate.interfaces import learned
from striate.solvers.ridge import ridge_cv
from striate.splits import folds_of
from striate.store import Unstorable, save_tree

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)
ROWS, TEST = 60, 12


class Problem:
    """Linear responses of one subject; targets differ in how noisy they are."""

    def __init__(self, targets=5, features=8, seed=0, rows=ROWS, subject="s1"):
        rng = np.random.default_rng(seed)
        self.ids = tuple(f"im{k}" for k in range(rows + TEST))
        self.x = rng.standard_normal((rows + TEST, features))
        self.w = rng.standard_normal((features, targets))
        noise = np.geomspace(0.1, 30, targets)
        self.y = self.x @ self.w + noise * rng.standard_normal((len(self.x), targets)) + 2
        self.features = Features({"x": ArraySpace(self.ids, self.x)}, self.ids)
        self.block = label_responses(self.y, self.ids, subject=subject)
        self.train, self.test = self.block[:rows], self.block[rows:]
        self.seen = self.features.rows(self.ids[:rows])


def alphas_of(fitted):
    return np.concatenate([p["alpha"] for p in fitted.parts_])


@pytest.mark.parametrize("units", [False, True])
def test_each_target_has_the_penalty_and_the_fit_of_scikit_learn(units):
    p = Problem()
    train = p.train
    names = list(p.ids[:ROWS])
    if units:
        names = [f"u{k // 3}" for k in range(ROWS)]
        train = train.assign_coords(unit=("row", np.array(names, dtype=object)))
    fitted = Ridge(ALPHAS, folds=4, seed=2).fit(p.seen, [[train]])
    folds = folds_of(names, 4, 2)
    if units:
        assert all(len(set(folds[k : k + 3])) == 1 for k in range(0, ROWS, 3))
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(4)]
    predicted = fitted.predict(p.features, p.test)
    chosen = alphas_of(fitted)
    assert len(set(chosen)) > 1
    for t in range(p.y.shape[1]):
        reference = RidgeCV(ALPHAS, cv=splits, scoring="neg_mean_squared_error")
        reference.fit(p.x[:ROWS], p.y[:ROWS, t])
        assert chosen[t] == reference.alpha_
        np.testing.assert_allclose(
            predicted.values[:, t], reference.predict(p.x[ROWS:]), rtol=1e-6, atol=1e-8
        )


def test_gaps_in_targets_leave_other_rows_to_each():
    p = Problem(targets=4)
    train = p.train.copy(deep=True)
    train.values[:20, 1] = np.nan
    train.values[30:, 3] = np.nan
    train.values[:20, 0] = np.nan
    fitted = Ridge((1.0,)).fit(p.seen, [[train]])
    predicted = fitted.predict(p.features, p.test)
    for t in range(4):
        rows = np.flatnonzero(~np.isnan(train.values[:, t]))
        reference = Reference(1.0).fit(p.x[rows], p.y[rows, t])
        found = predicted.sel(target=f"t{t}").values
        np.testing.assert_allclose(found, reference.predict(p.x[ROWS:]), rtol=1e-8)
    train.values[1:, 2] = np.nan
    with pytest.raises(DataError, match="target 't2' was measured on 1 training rows"):
        Ridge((1.0,)).fit(p.seen, [[train]])


def test_one_penalty_for_a_group():
    p = Problem(targets=6)
    groups = [[p.train[:, :3]], [p.train[:, 3:]]]
    fitted = Ridge(ALPHAS, penalty="group").fit(p.seen, groups)
    alphas = alphas_of(fitted)
    assert len(set(alphas[:3])) == len(set(alphas[3:])) == 1
    assert alphas[0] != alphas[3]
    folds = folds_of(p.ids[:ROWS], 5, 0)
    for k, columns in enumerate((slice(0, 3), slice(3, 6))):
        losses = []
        for alpha in ALPHAS:
            loss = 0.0
            for fold in range(5):
                inside = np.flatnonzero(folds != fold)
                outside = np.flatnonzero(folds == fold)
                model = Reference(alpha).fit(p.x[inside], p.y[inside, columns])
                loss += ((model.predict(p.x[outside]) - p.y[outside, columns]) ** 2).sum()
            losses.append(loss)
        assert alphas[3 * k] == ALPHAS[int(np.argmin(losses))]
    each = Ridge(ALPHAS).fit(p.seen, groups)
    assert len(set(alphas_of(each))) > 2


def test_a_start_is_what_coefficients_shrink_to():
    p, other = Problem(), Problem(seed=0)
    first = Ridge((1.0,)).fit(p.seen, [[p.train]])
    heavy = Ridge((1e12,)).fit(p.seen, [[p.train[:10, [3, 1]]]], start=first)
    prior = first.parts_[0]["coef"][:, [3, 1]]
    np.testing.assert_allclose(heavy.parts_[0]["coef"], prior, rtol=1e-6)
    light = Ridge((2.0,)).fit(p.seen, [[p.train[:10, [3, 1]]]], start=first)
    residual = p.y[:10][:, [3, 1]] - p.x[:10] @ prior
    reference = Reference(2.0).fit(p.x[:10], residual)
    np.testing.assert_allclose(light.parts_[0]["coef"], prior + reference.coef_.T, rtol=1e-8)
    np.testing.assert_allclose(light.parts_[0]["intercept"], reference.intercept_, rtol=1e-8)
    with pytest.raises(RecipeError, match="same features and targets"):
        Ridge((1.0,)).fit(p.seen, [[p.train]], start=heavy)
    other = Problem(features=7)
    with pytest.raises(RecipeError, match="same features and targets"):
        Ridge((1.0,)).fit(other.seen, [[other.train]], start=first)
    with pytest.raises(RecipeError, match="not after Regressor"):
        Ridge((1.0,)).fit(p.seen, [[p.train]], start=Regressor("sklearn.linear_model:Lasso"))


def test_a_start_keeps_its_digits_where_features_have_large_means():
    p, found = Problem(), []
    x = (p.x + 1e5).astype(np.float32)
    for values in (x, x.astype(np.float64)):
        features = Features({"x": ArraySpace(p.features.ids, values)}, p.features.ids)
        seen = features.rows(p.seen.ids)
        first = Ridge((1.0,)).fit(seen, [[p.train]])
        second = Ridge((2.0,)).fit(seen, [[p.train[:30]]], start=first)
        found.append(second.predict(features, p.test).values)
    np.testing.assert_allclose(*found, atol=1e-4)


def test_subjects_with_other_rows_are_fitted_on_their_own():
    p = Problem(targets=3)
    two = label_responses(p.y[10:40] * 2, p.ids[10:40], subject="s2")
    three = label_responses(-p.y[:ROWS], p.ids[:ROWS], subject="s3")
    fitted = Ridge((1.0,)).fit(p.seen, [[p.train, two, three]])
    predicted = fitted.predict(p.features, p.test)
    assert predicted.shape == (TEST, 9)
    whole = Reference(1.0).fit(p.x[:ROWS], p.y[:ROWS]).predict(p.x[ROWS:])
    part = Reference(1.0).fit(p.x[10:40], 2 * p.y[10:40]).predict(p.x[ROWS:])
    for subject, expected in (("s1", whole), ("s2", part), ("s3", -whole)):
        own = predicted.isel(target=np.flatnonzero(predicted.subject.values == subject))
        assert list(own.target.values) == ["t0", "t1", "t2"]
        np.testing.assert_allclose(own.values, expected, rtol=1e-8)


def test_precision_follows_the_features():
    p = Problem()
    single = {"x": ArraySpace(p.ids, p.x.astype(np.float32))}
    features = Features(single, p.ids)
    fitted = Ridge(ALPHAS).fit(features.rows(p.ids[:ROWS]), [[p.train]])
    assert fitted.predict(features, p.test).dtype == np.float32


@pytest.mark.parametrize("folds", ["loo", "gcv"])
def test_closed_forms_are_those_of_the_solver_and_refuse_units_of_several_rows(folds):
    p = Problem()
    fitted = Ridge(ALPHAS, folds=folds).fit(p.seen, [[p.train]])
    expected = ridge_cv(p.x[:ROWS], p.y[:ROWS], ALPHAS, folds)
    np.testing.assert_array_equal(alphas_of(fitted), expected.alpha)
    np.testing.assert_allclose(
        fitted.predict(p.features, p.test).values, expected.predict(p.x[ROWS:]), rtol=1e-9
    )
    units = np.array([f"u{k // 3}" for k in range(ROWS)], dtype=object)
    train = p.train.assign_coords(unit=("row", units))
    with pytest.raises(RecipeError, match=rf'"{folds}" .* 60 rows belong to 20 independent units'):
        Ridge(ALPHAS, folds=folds).fit(p.seen, [[train]])
    with pytest.raises(RecipeError, match="must be 2 or more, loo or gcv"):
        Ridge(ALPHAS, folds=1)


def test_least_squares_and_features_far_from_zero():
    p = Problem()
    far = (p.x + 1e4).astype(np.float32)
    features = Features({"x": ArraySpace(p.ids, far)}, p.ids)
    for encoder in (LeastSquares(), Ridge((1e-3,)), Ridge((1e-3,), folds="loo")):
        fitted = encoder.fit(features.rows(p.ids[:ROWS]), [[p.train]])
        exact = far.astype(np.float64)
        peer = LinearRegression().fit(exact[:ROWS], p.y[:ROWS]).predict(exact[ROWS:])
        np.testing.assert_allclose(fitted.predict(features, p.test).values, peer, atol=5e-3)
    with pytest.raises(RecipeError, match="cannot start from another fit"):
        LeastSquares().fit(p.seen, [[p.train]], start=fitted)


def test_note_counts_penalties_at_the_ends():
    p = Problem()
    note = Ridge(ALPHAS).fit(p.seen, [[p.train]]).note_
    alphas = alphas_of(Ridge(ALPHAS).fit(p.seen, [[p.train]]))
    ends = int(np.isin(alphas, [0.1, 1000.0]).sum())
    assert note["targets whose penalty is at an end of the grid"] == ends > 0
    assert note["features"] == 8
    with pytest.raises(RecipeError, match="must be penalties of 0 or more"):
        Ridge((-1.0,))
    with pytest.raises(RecipeError, match="must be penalties"):
        Ridge(())


LASSO = "sklearn.linear_model:Lasso"


@pytest.mark.parametrize("each", [False, True])
def test_regressor_is_the_estimator_itself(each):
    from sklearn.linear_model import Lasso

    p = Problem()
    train = p.train.copy(deep=True)
    train.values[:5, 2] = np.nan
    fitted = Regressor(LASSO, {"alpha": 0.2}, each).fit(p.seen, [[train]])
    predicted = fitted.predict(p.features, p.test)
    for t in range(5):
        rows = slice(5, ROWS) if t == 2 else slice(0, ROWS)
        expected = Lasso(alpha=0.2).fit(p.x[rows], p.y[rows, t]).predict(p.x[ROWS:])
        np.testing.assert_allclose(predicted.sel(target=f"t{t}").values, expected, rtol=1e-6)
    assert len(fitted.parts_[0][0]) == (4 if each else 1)


def test_an_estimator_of_one_target_needs_each():
    p = Problem(targets=2)
    one = "sklearn.svm:SVR"
    with pytest.raises(RecipeError, match=r"SVR cannot fit 2 targets: .*each = true"):
        Regressor(one).fit(p.seen, [[p.train]])
    fitted = Regressor(one, {"kernel": "linear"}, each=True).fit(p.seen, [[p.train]])
    assert fitted.predict(p.features, p.test).shape == (TEST, 2)


def test_a_fitted_estimator_is_not_stored_and_says_so(tmp_path):
    p = Problem()
    fitted = Regressor(LASSO).fit(p.seen, [[p.train]])
    with pytest.raises(Unstorable):
        save_tree(tmp_path / "state", learned(fitted))
    assert "pickle" in Regressor.__doc__
    with pytest.raises(RecipeError, match="Regressor cannot start from another fit"):
        Regressor(LASSO).fit(p.seen, [[p.train]], start=fitted)
    with pytest.raises(RecipeError, match="does not take"):
        Regressor(LASSO, {"apha": 1})

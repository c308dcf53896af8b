"""Sparse encoders against scikit-learn, and who shares a fit."""

import numpy as np
import pytest
from sklearn import linear_model

from striate.data import ArraySpace, Features, label_responses
from striate.encoders.sparse import ElasticNet, Lasso, MultiTask
from striate.errors import RecipeError
from striate.interfaces import learned
from striate.splits import folds_of
from striate.store import load_tree, save_tree

ROWS, TEST = 60, 12


class Problem:
    """Responses that few features drive."""

    def __init__(self, targets=5, features=10, seed=0):
        rng = np.random.default_rng(seed)
        self.ids = tuple(f"im{k}" for k in range(ROWS + TEST))
        self.x = rng.standard_normal((ROWS + TEST, features))
        w = rng.standard_normal((features, targets)) * (rng.random((features, targets)) < 0.3)
        self.y = self.x @ w + rng.standard_normal((len(self.x), targets)) + 2
        self.features = Features({"x": ArraySpace(self.ids, self.x)}, self.ids)
        self.block = label_responses(self.y, self.ids, subject="s1")
        self.train, self.test = self.block[:ROWS], self.block[ROWS:]
        self.seen = self.features.rows(self.ids[:ROWS])


def splits_of(names, folds, seed):
    labels = folds_of(names, folds, seed)
    return [(np.flatnonzero(labels != k), np.flatnonzero(labels == k)) for k in range(folds)]


@pytest.mark.parametrize("ratio", [None, 0.5, (0.2, 0.9)])
def test_each_target_is_that_of_scikit_learn_over_folds_of_units(ratio):
    p = Problem()
    names = [f"u{k // 3}" for k in range(ROWS)]
    train = p.train.assign_coords(unit=("row", np.array(names, dtype=object)))
    encoder = (
        Lasso(30, folds=4, seed=2) if ratio is None else ElasticNet(ratio, 30, folds=4, seed=2)
    )
    fitted = encoder.fit(p.seen, [[train]])
    predicted = fitted.predict(p.features, p.test).values
    for t in range(5):
        options = {"cv": splits_of(names, 4, 2), "alphas": 30, "tol": 1e-8}
        peer = (
            linear_model.LassoCV(**options)
            if ratio is None
            else linear_model.ElasticNetCV(l1_ratio=ratio, **options)
        ).fit(p.x[:ROWS], p.y[:ROWS, t])
        assert fitted.parts_[0]["alpha"][t] == pytest.approx(peer.alpha_)
        np.testing.assert_allclose(predicted[:, t], peer.predict(p.x[ROWS:]), atol=1e-4)
    note = fitted.note_
    assert note["features"] == 10 and note["targets solved by coordinate descent"] == 0
    used = (fitted.parts_[0]["coef"] != 0).sum(axis=0).mean()
    assert 1 <= note["features used by a target, on average"] == used < 10


def test_targets_of_a_group_share_features_and_those_of_others_do_not():
    p = Problem(targets=6)
    groups = [[p.train[:, :3]], [p.train[:, 3:]]]
    fitted = MultiTask(n_alphas=30).fit(p.seen, groups)
    assert len(fitted.parts_) == 2
    predicted = fitted.predict(p.features, p.test)
    for k, columns in enumerate((slice(0, 3), slice(3, 6))):
        peer = linear_model.MultiTaskElasticNetCV(
            cv=splits_of(p.ids[:ROWS], 3, 0), alphas=30, tol=1e-8
        ).fit(p.x[:ROWS], p.y[:ROWS, columns])
        np.testing.assert_allclose(fitted.parts_[k]["alpha"], peer.alpha_)
        found = predicted.values[:, columns]
        np.testing.assert_allclose(found, peer.predict(p.x[ROWS:]), atol=1e-4)
    alone = Lasso(30).fit(p.seen, groups)
    assert len(alone.parts_) == 1 and len(set(alone.parts_[0]["alpha"])) > 3


def test_gaps_single_precision_and_the_store(tmp_path):
    p = Problem(targets=3)
    train = p.train.copy(deep=True)
    train.values[:20, 1] = np.nan
    features = Features({"x": ArraySpace(p.ids, p.x.astype(np.float32))}, p.ids)
    for encoder in (Lasso(20), ElasticNet(n_alphas=20), MultiTask(n_alphas=20)):
        fitted = encoder.fit(features.rows(p.ids[:ROWS]), [[train]])
        assert len(fitted.parts_) == 2
        answer = fitted.predict(features, p.test)
        assert answer.dtype == np.float32 and np.isfinite(answer.values).all()
        folder = tmp_path / type(encoder).__name__
        save_tree(folder, learned(fitted))
        assert set(load_tree(folder)) == {"parts_", "note_"}


def test_features_with_large_means_keep_their_predictions_in_single_precision():
    p = Problem(targets=3)
    x = (p.x + 1e5).astype(np.float32)
    y = p.train.copy(data=p.train.values.astype(np.float32))
    for encoder in (Lasso(20), ElasticNet(n_alphas=20), MultiTask(n_alphas=20)):
        found = []
        for values in (x, x.astype(np.float64)):
            features = Features({"x": ArraySpace(p.ids, values)}, p.ids)
            fitted = encoder.fit(features.rows(p.ids[:ROWS]), [[y]])
            found.append(fitted.predict(features, p.test).values)
        np.testing.assert_allclose(*found, atol=1e-4)


def test_mistakes_are_named():
    p = Problem(targets=1)
    with pytest.raises(RecipeError, match="Lasso cannot start from another fit"):
        Lasso(5).fit(p.seen, [[p.train]], start=Lasso(5))
    with pytest.raises(RecipeError, match="n_alphas = 0"):
        Lasso(0)
    with pytest.raises(RecipeError, match=r"l1_ratio = 0\.0 must be above 0"):
        ElasticNet(0.0)
    with pytest.raises(RecipeError, match=r"l1_ratio = \(0\.5, 2\.0\)"):
        MultiTask((0.5, 2.0))
    with pytest.raises(RecipeError, match="between 0 and 1"):
        MultiTask(eps=2.0)

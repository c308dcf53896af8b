"""`cv` says who is held out, in any of the usual ways, or is refused."""

import numpy as np
import pytest
from sklearn.model_selection import KFold, ShuffleSplit

from striate.errors import DataError
from striate.estimators import PLSCV, FractionalRidgeCV, LassoCV, RidgeCV
from striate.estimators.folds import folds_of_rows


def test_numbers_and_splitters_agree():
    for rows, folds in ((10, 5), (11, 3), (3, 5)):
        ours = folds_of_rows(folds, rows)
        theirs = folds_of_rows(KFold(min(folds, rows)), rows)
        assert ours.tolist() == theirs.tolist() and len(set(ours)) == min(folds, rows)
    shuffled = KFold(4, shuffle=True, random_state=0)
    assert sorted(np.bincount(folds_of_rows(shuffled, 10))) == [2, 2, 3, 3]


def test_labels_may_be_words():
    assert folds_of_rows(["b", "a", "b"], 3).tolist() == [1, 0, 1]
    assert folds_of_rows("loo", 3, ("loo",)) == "loo"


@pytest.mark.parametrize("cv", ["loo", 1, 0, True, None, [0, 1], ShuffleSplit(2), object()])
def test_anything_else_is_refused_with_what_is_known(cv):
    with pytest.raises(DataError, match=r"every row|holds out row"):
        folds_of_rows(cv, 8)


@pytest.mark.parametrize("model", [RidgeCV, LassoCV, PLSCV, FractionalRidgeCV])
def test_estimators_take_a_splitter(model):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 4))
    y = x @ rng.standard_normal((4, 3)) + rng.standard_normal((30, 3))
    shuffled = KFold(3, shuffle=True, random_state=0)
    labels = folds_of_rows(shuffled, 30)
    ours, theirs = (model(cv=cv).fit(x, y).predict(x) for cv in (shuffled, labels))
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(DataError, match="cv = 'leave'"):
        model(cv="leave").fit(x, y)

"""Half precision, and what it costs, against the plain formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.store.rounding import stored_as

VALUES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=5),
    elements=st.floats(-60000, 60000, width=32),
)


@settings(deadline=None)
@given(VALUES)
def test_the_error_is_the_largest_difference_relative_to_the_root_mean_square(values):
    kept, error = stored_as(values, "float16")
    assert kept.dtype == np.float16
    exact = values.astype(np.float64)
    rms = np.sqrt(np.mean(exact**2))
    wanted = np.abs(exact - kept.astype(np.float64)).max() / rms if rms > 0 else 0.0
    assert error == pytest.approx(wanted, rel=6e-3, abs=1e-12)


@pytest.mark.parametrize(
    ("dtype", "given", "kept"),
    [
        ("float32", np.float64, np.float32),
        ("float32", np.float16, np.float32),
        ("float16", np.float16, np.float16),
        ("float16", np.int16, np.int16),
        ("", np.float64, np.float64),
        ("bfloat16", np.float64, np.float64),
    ],
)
def test_only_rounding_to_half_precision_is_measured(dtype, given, kept):
    found, error = stored_as(np.ones((2, 3), dtype=given), dtype)
    assert found.dtype == kept and error is None


def test_what_is_too_large_becomes_infinite():
    kept, error = stored_as(np.array([1.0, 1e6]), "float16")
    assert np.isinf(kept[1]) and error == np.inf

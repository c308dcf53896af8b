"""Batches cover all targets once and fit; what cannot fit is refused with the estimate."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import StriateError
from striate.solvers._budget import Need, fitting, size


@settings(max_examples=40, deadline=None)
@given(
    targets=st.integers(1, 3000),
    fixed=st.integers(0, 1 << 20),
    each=st.integers(1, 1 << 14),
    room=st.integers(0, 1 << 24),
    shares=st.integers(1, 4),
    largest=st.integers(0, 500),
)
def test_batches_cover_all_targets_and_fit(targets, fixed, each, room, shares, largest):
    memory = fixed + shares * each + room
    found = Need("a test", fixed, each).batches(targets, memory, largest=largest, shares=shares)
    assert found[0][0] == 0 and found[-1][1] == targets
    assert all(a[1] == b[0] for a, b in pairwise(found))
    most = max(b - a for a, b in found)
    assert most >= 1 and fixed + shares * most * each <= memory
    assert most <= largest or not largest
    if targets >= 64 * shares and len(found) < targets:
        assert len(found) % shares == 0


def test_what_does_not_fit_is_refused_with_the_estimate():
    need = Need("ridge of 9 features", fixed=3 << 30, each=1 << 29)
    with pytest.raises(StriateError, match=r"of 9 features .* 4\.0 GiB .* 2\.0 GiB.*--memory"):
        need.batches(10, memory=2 << 30, shares=2)
    need.check(4 << 30, shares=2)


def test_small_work_gets_one_thread():
    assert fitting(8, 1e3) == 1 and fitting(8, 1e12) == 8
    assert fitting(None, 1e3) == 1 and fitting(None, 1e12) is None
    assert size(1) == "1 MiB"

"""Pictures for people: strips of frames, maps, spectra."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from striate.nets import looks


@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40))
def test_a_strip_has_a_few_frames_of_one_height(count, height, width):
    found = looks.strip(np.full((count, height, width, 3), 7, np.uint8))
    assert found.shape[0] == looks.HEIGHT and found.dtype == np.uint8
    lines = (found == 255).all(axis=(0, 2)).sum()
    assert lines == 2 * (min(count, looks.MOST) - 1)


def test_frames_of_a_strip_are_in_order():
    frames = np.repeat(np.arange(12, dtype=np.uint8), 3).reshape(12, 1, 1, 3)
    row = looks.strip(frames)[0, :, 0]
    assert list(dict.fromkeys(row[row < 255].tolist())) == [1, 3, 5, 7, 9, 11]


def test_maps_go_from_black_to_white():
    ramp = np.linspace(-3, 5, 64).reshape(8, 8)
    found = looks.grey(ramp)
    assert found[0, 0, 0] == 0 and found[-1, -1, 0] == 255
    assert (np.diff(found[..., 0].ravel().astype(int)) >= 0).all()
    assert (looks.grey(np.ones((2, 2))) == 0).all()
    assert looks.maps([ramp, ramp]).shape == (looks.HEIGHT, 2 * looks.HEIGHT + 2, 3)


@given(st.integers(1, 3000))
def test_spectra_have_low_frequencies_below(frames):
    bands = np.zeros((frames, 4))
    bands[:, 0] = 1
    found = looks.spectrum(bands)
    assert found.shape == (looks.HEIGHT, looks.MOST * looks.HEIGHT, 3)
    assert found[-1].mean() > 200 and found[0].max() == 0

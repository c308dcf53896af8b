"""Rates of speech, counted by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data import Shown, Stimuli
from striate.errors import DataError
from striate.extractors.words import Words, rates, words_of
from striate.machine import Machine, using
from striate.registry import identity, key_of
from striate.store import stored_spaces

TEXTS = ["Well, don't — 3 times!", "", "yes"]


def stimuli_of(texts=TEXTS, seconds=(2.0, 2.0, 0.5), **columns):
    table = {"text": list(texts), "duration": list(seconds)} | columns
    return Stimuli(pd.DataFrame(table, index=[f"c{k}" for k in range(len(texts))]))


def gathered(stimuli, batch):
    with using(Machine(batch=batch, threads=1, device="cpu", quiet=True)):
        batches = [b["words"] for b in Words()(stimuli)]
    assert max(map(len, batches)) == min(batch, len(stimuli))
    return np.concatenate(batches)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_rates_by_hand(batch):
    found = gathered(stimuli_of(), batch)
    # Well, don't, 3, times: 4 + 4 + 1 + 5 letters in 2 s; nothing; 3 letters in half a second.
    np.testing.assert_allclose(found, [[2, 7, 3.5], [0, 0, 0], [2, 6, 3]])
    assert found.dtype == np.float32


@given(st.lists(st.text("abcäß0", min_size=1, max_size=6), max_size=8), st.floats(0.1, 100))
def test_rates_of_plain_words(words, seconds):
    shown = Shown("a", "", duration=seconds, text=" , ".join(words))
    assert words_of(shown.text) == words
    letters = sum(map(len, words))
    expected = (len(words) / seconds, letters / seconds, letters / max(1, len(words)))
    np.testing.assert_allclose(rates(shown), expected, rtol=1e-5)


def test_words_are_told_apart():
    assert words_of("l’été—half-way_x 'quoted' 1,5") == [
        "l’été",
        "half-way",
        "x",
        "quoted",
        "1",
        "5",
    ]
    assert words_of(" … -- ' ") == []
    assert words_of("e\u0301te\u0301 é") == ["été", "é"]


def test_content_follows_text_and_duration():
    base = Words().content(stimuli_of())
    assert len(set(base)) == 3
    assert Words().content(stimuli_of(file=["a", "b", "c"])) == base
    other = Words().content(stimuli_of(["Well", "", "yes"]))
    assert [a == b for a, b in zip(base, other, strict=True)] == [False, True, True]
    longer = Words().content(stimuli_of(seconds=(2.0, 3.0, 0.5)))
    assert [a == b for a, b in zip(base, longer, strict=True)] == [True, False, True]


def test_what_is_missing_is_told():
    table = stimuli_of().table
    for call in (lambda s: list(Words()(s)), Words().content):
        with pytest.raises(DataError, match="'c0' has no text"):
            call(Stimuli(table.drop(columns="text")))
        with pytest.raises(DataError, match="'c0' has no duration"):
            call(Stimuli(table.drop(columns="duration")))
        with pytest.raises(DataError, match="'c1' has no duration"):
            call(stimuli_of(seconds=(1.0, float("nan"), 1.0)))
        with pytest.raises(DataError, match=r"'c2' has duration 0\.0"):
            call(stimuli_of(seconds=(1.0, 1.0, 0.0)))


def test_stored_rows_follow_the_text(tmp_path):
    key = key_of(identity(Words()))
    with using(Machine(device="cpu", quiet=True)):
        for texts, first in ((TEXTS, 2), (["Well", "", "yes"], 0.5)):
            stimuli = stimuli_of(texts)
            spaces = stored_spaces(tmp_path, "said", Words(), key, stimuli)
            assert list(spaces) == ["said.words"]
            found = spaces["said.words"].read(stimuli.ids)
            np.testing.assert_allclose(found[:, 0], [first, 0, 2])

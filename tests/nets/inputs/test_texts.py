"""Text as tokens: one item, named arguments, and a mask of what is no padding."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from striate.data import Shown
from striate.errors import DataError
from striate.nets.inputs.texts import Texts


def letters(text):
    ids = [ord(c) for c in text[:6]]
    return np.array([ids + [0] * (6 - len(ids)), [1] * len(ids) + [0] * (6 - len(ids))])


BOTH = Texts(letters, ("input_ids", "attention_mask"), {"tokenizer": "letters"})
ONE = Texts(lambda text: letters(text)[:1], ("text",), {"tokenizer": "letters"})


def test_a_text_is_one_item():
    items = BOTH.read(Shown("a", "", text="abc"))
    assert items.shape == (1, 2, 6) and items.dtype == np.int64
    given = BOTH(torch.from_numpy(items))
    assert given["input_ids"].tolist() == [[97, 98, 99, 0, 0, 0]]
    assert given["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0]]
    assert BOTH.mask(torch.from_numpy(items)).sum() == 3


def test_a_single_argument_goes_without_a_name():
    items = torch.from_numpy(ONE.read(Shown("a", "", text="abc")))
    assert ONE(items).tolist() == [[97, 98, 99, 0, 0, 0]]
    assert ONE.mask(items).all()


def test_an_empty_text_is_a_text_and_none_is_not():
    assert BOTH.read(Shown("a", "", text="")).shape == (1, 2, 6)
    assert torch.equal(BOTH.blank(), torch.from_numpy(BOTH.read(Shown("a", "", text=""))))
    with pytest.raises(DataError, match=r"stimulus 'a' has no text: .*a label 'text'"):
        BOTH.read(Shown("a", "a.png"))


def test_tokenizers_are_never_used_by_two_threads_at_once():
    busy = []

    def encode(text):
        assert not busy
        busy.append(text)
        found = letters(text)
        busy.pop()
        return found

    shows = Texts(encode, ("input_ids", "attention_mask"), {})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: shows.read(Shown(str(k), "", text=str(k))), range(200)))


def test_what_is_told():
    assert BOTH.identity() == {"kind": "text", "tokenizer": "letters"}

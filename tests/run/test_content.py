"""What cannot be read is told apart from the rest, and leaves no row behind."""

import numpy as np
import pytest

from striate.data import Stimuli, label_responses
from striate.errors import DataError, FileError
from striate.media import digests
from striate.run.content import contents, digested, without_rows, without_stimuli
from striate.store import stored_spaces


@pytest.fixture
def stimuli(tmp_path):
    for k in range(3):
        (tmp_path / f"s{k}.png").write_bytes(b"%d" % k)
    return Stimuli.from_files([tmp_path / f"s{k}.png" for k in range(3)])


def test_a_file_that_cannot_be_read_stops_or_is_skipped(stimuli, monkeypatch):
    def refuse(file):
        if "s1" in str(file):
            raise FileError("s1.png: cannot be read")
        return f"digest of {file[-6:]}"

    monkeypatch.setattr("striate.media.files.file_digest", refuse)
    with pytest.raises(FileError, match="s1"):
        digested(stimuli, skip=False)
    found = list(digested(stimuli, skip=True).table["digest"])
    assert found == ["digest of s0.png", "", "digest of s2.png"]


def test_content_that_an_extractor_reads_counts_beside_the_file(stimuli, tmp_path):
    class Words:
        def names(self):
            return [""]

        def identity(self):
            return {}

        def content(self, stimuli):
            return list(stimuli.table["text"])

        def __call__(self, stimuli):
            yield {"": np.zeros((len(stimuli), 1))}

    known = digests(stimuli)
    assert contents(known, {}) == dict(zip(known.ids, known.table["digest"], strict=True))

    def of(*words):
        told = known.with_column("text", words)
        return contents(told, stored_spaces(tmp_path / "store", "w", Words(), "ab" * 16, told))

    one, two = of("a", "b", "c"), of("a", "b", "d")
    assert [one[i] == two[i] for i in known.ids] == [True, True, False]


def test_rows_that_answer_to_what_is_gone(stimuli):
    pairs = np.array([["a", "b"], ["b", "c"], ["a", "c"]], dtype=object)
    block = label_responses(np.arange(6.0).reshape(3, 2), pairs)
    assert without_rows(block, []) is block
    assert without_rows(block, ["z"]) is block
    assert list(without_rows(block, {"b": "why"}).row.values) == ["a|c"]
    assert len(without_rows(block, ["a", "b"])) == 0


def test_stimuli_that_are_left(stimuli):
    assert without_stimuli(stimuli, ["z"]) is stimuli
    assert without_stimuli(stimuli, {"s1": "why"}).ids == ("s0", "s2")
    with pytest.raises(DataError, match="no stimulus is left"):
        without_stimuli(stimuli, stimuli.ids)

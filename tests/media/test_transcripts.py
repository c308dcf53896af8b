"""Words and their times, from tables of words and from tables of TRs."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.errors import DataError, FileError
from striate.media.transcripts import (
    chunk_texts,
    read_transcript,
    texts_between,
    words_per_second,
)

WORD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00\t"), min_size=1).map(
    lambda w: f"w{w}"
)


def write(path, lines):
    """A transcript of TRs: one list of (word, onset, duration) per TR."""
    table = pd.DataFrame(
        {
            "text_per_tr": [" ".join(w for w, _, _ in line) for line in lines],
            "words_per_tr": [str([w for w, _, _ in line]) for line in lines],
            "onsets_per_tr": [str([o for _, o, _ in line]) for line in lines],
            "durations_per_tr": [str([d for _, _, d in line]) for line in lines],
        }
    )
    table.to_csv(path, sep="\t", index=False)
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(st.lists(WORD, max_size=4), min_size=1, max_size=6))
def test_lists_in_cells_come_back(tmp_path_factory, lines):
    said = [
        [(w, 1.49 * k + 0.1 * i, 0.25) for i, w in enumerate(line)] for k, line in enumerate(lines)
    ]
    found = read_transcript(write(tmp_path_factory.getbasetemp() / "t.tsv", said))
    flat = [(*word, k) for k, line in enumerate(said) for word in line]
    assert list(found.columns) == ["word", "onset", "duration", "chunk"]
    assert found["word"].tolist() == [w for w, _, _, _ in flat]
    np.testing.assert_allclose(found["onset"], [o for _, o, _, _ in flat])
    assert found["chunk"].tolist() == [k for _, _, _, k in flat]


def test_silence_is_empty_in_every_spelling(tmp_path):
    lines = ["text_per_tr\twords_per_tr\tonsets_per_tr\tdurations_per_tr"]
    lines += ["\t[]\t[]\t[]", "nan\tnan\tnan\tnan", "\t\t\t"]
    lines += ["It's a \"nan\"\t[\"It's\", 'a', '\"nan\"']\t[0.1, 0.2, nan]\t[0.1, None, 0.3]"]
    (tmp_path / "t.tsv").write_text("\n".join(lines))
    found = read_transcript(tmp_path / "t.tsv")
    assert found["word"].tolist() == ["It's", "a", '"nan"']
    assert found["chunk"].tolist() == [3, 3, 3]
    assert np.isnan(found["onset"].iloc[2]) and np.isnan(found["duration"].iloc[1])


def test_texts_of_chunks(tmp_path):
    file = write(tmp_path / "t.tsv", [[("so", 0.2, 0.1), ("far", 0.4, 0.1)], [], [("ok", 3, 1)]])
    assert chunk_texts(file) == ["so far", "", "ok"]
    words = read_transcript(file)
    assert texts_between(words, [0.0, 1.49, 2.98], [1.49] * 3) == ["so far", "", "ok"]


def test_tables_of_words(tmp_path):
    pd.DataFrame({"word": ["b", "a"], "onset": [1.5, 0.5]}).to_csv(tmp_path / "w.csv", index=False)
    found = read_transcript(tmp_path / "w.csv")
    assert found["word"].tolist() == ["a", "b"] and found["duration"].isna().all()
    assert found["chunk"].tolist() == [-1, -1]


@given(
    onsets=st.lists(st.floats(0, 20), max_size=30),
    length=st.floats(0.1, 3),
)
def test_every_word_is_in_one_of_consecutive_chunks(onsets, length):
    words = pd.DataFrame({"word": [f"w{k}" for k in range(len(onsets))], "onset": onsets})
    edges = np.arange(int(21 / length) + 2) * length
    starts, lengths = edges[:-1], np.diff(edges)
    texts = texts_between(words, starts, lengths)
    rates = words_per_second(words, starts, lengths)
    for text, rate, span, begin in zip(texts, rates, lengths, starts, strict=True):
        inside = [o for o in onsets if begin <= o < begin + span]
        assert len(text.split()) == len(inside)
        assert rate == pytest.approx(len(inside) / span)


def test_what_is_no_transcript(tmp_path):
    with pytest.raises(FileError, match="no transcript"):
        read_transcript(tmp_path / "gone.tsv")
    (tmp_path / "a.txt").write_text("word")
    with pytest.raises(FileError, match=r"neither \.tsv nor \.csv"):
        read_transcript(tmp_path / "a.txt")
    cases = {
        "text\tnote\n": "needs the columns word and onset",
        "words_per_tr\tonsets_per_tr\n": "but not durations_per_tr",
        "word\tonset\na\tsoon\n": "must hold seconds, but holds soon",
        "word\tonset\na\t\n": r"without an onset \(a\)",
        "words_per_tr\tonsets_per_tr\tdurations_per_tr\n['a']\t[]\t[]\n": "1 words, 0 onsets",
        "words_per_tr\tonsets_per_tr\tdurations_per_tr\nf('x')\t[]\t[]\n": "line 2 holds no list",
        "words_per_tr\tonsets_per_tr\tdurations_per_tr\n3\t[]\t[]\n": "line 2 holds no list",
    }
    for content, told in cases.items():
        (tmp_path / "t.tsv").write_text(content)
        with pytest.raises((DataError, FileError), match=told):
            read_transcript(tmp_path / "t.tsv")
    (tmp_path / "t.tsv").write_text("a\tb\n")
    with pytest.raises(FileError, match="no column text_per_tr"):
        chunk_texts(tmp_path / "t.tsv")
    with pytest.raises(DataError, match="longer than 0"):
        words_per_second(pd.DataFrame({"onset": [1.0]}), [0.0], [0.0])


HEAD = "words_per_tr\tonsets_per_tr\tdurations_per_tr\n"


def test_words_are_not_searched_for_missing_numbers(tmp_path):
    (tmp_path / "t.tsv").write_text(HEAD + '["banana", "Nan\'s"]\t[1.5, nan]\t(nan, .5)\n')
    found = read_transcript(tmp_path / "t.tsv")
    assert found["word"].tolist() == ["banana", "Nan's"]
    np.testing.assert_array_equal(found["onset"], [1.5, np.nan])
    np.testing.assert_array_equal(found["duration"], [np.nan, 0.5])


@pytest.mark.parametrize(
    "cell",
    ["[{[]}]", "[0x" + "f" * 20000 + "]", "[[1]]", "[1+1]", "[1 1]", "[,]", "[1", "1]", "['a]",
     "[" + "1" * 60000 + "x]", "[b'a']", "['\\x0']", "[" + "0," * 40000 + "]", "-" * 60000,
     "{1: 2}"],
)  # fmt: skip
def test_what_is_no_list_is_told_with_its_line(tmp_path, cell):
    (tmp_path / "t.tsv").write_text(HEAD + "[]\t[]\t[]\n" + cell + "\t[1]\t[1]\n")
    begun = time.process_time()
    with pytest.raises(DataError, match=r"t.tsv: line 3"):
        read_transcript(tmp_path / "t.tsv")
    assert time.process_time() - begun < 1


def test_seconds_that_are_none_and_columns_that_are_two_are_told(tmp_path):
    (tmp_path / "t.tsv").write_text(HEAD + "['a']\t['soon']\t[1]\n")
    with pytest.raises(DataError, match=r"line 2 holds 'soon', where seconds belong"):
        read_transcript(tmp_path / "t.tsv")
    (tmp_path / "t.tsv").write_text("word\t word\tonset\na\tb\t1\n")
    with pytest.raises(FileError, match=r"columns twice \(word\)"):
        read_transcript(tmp_path / "t.tsv")


def test_tables_larger_than_any_transcript_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("striate.media.transcripts.LARGEST", 100)
    (tmp_path / "t.tsv").write_text("word\tonset\n" + "a\t1\n" * 30)
    with pytest.raises(FileError, match="more than the 100 bytes"):
        read_transcript(tmp_path / "t.tsv")

"""Rows are made in the same batches whoever makes them, and stimuli that fail are told apart."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from striate.data import Stimuli
from striate.errors import DataError, FileError
from striate.machine import Machine, using
from striate.store import Entry, Table, fill, stored_spaces

from .toy import KEY, Toy, row_of, snapshot, stimuli_of


@pytest.fixture(autouse=True)
def _small_batches():
    with using(Machine(batch=4, quiet=True)):
        yield


def table_of(folder, extractor, stimuli, name="toy"):
    return Table(name, Entry(folder, KEY, {}), extractor, stimuli, tuple(extractor.names()))


def done(table, pieces=None, broken=None):
    pieces = table.missing(table.nodes) if pieces is None else pieces
    return [count for _, count in table.filling(pieces, broken)]


def test_pieces_follow_from_the_list_of_stimuli_alone(tmp_path):
    stimuli = stimuli_of(1000)
    pieces = table_of(tmp_path, Toy(), stimuli).pieces()
    assert [len(p) for p in pieces] == [16] * 62 + [8]
    assert [i for p in pieces for i in p.values()] == list(stimuli.ids)
    assert len(table_of(tmp_path, Toy(), stimuli_of(5000)).pieces()) <= 64
    twice = pd.concat([stimuli.table, stimuli.table.rename(lambda i: f"z{i}")])[::-1]
    assert table_of(tmp_path, Toy(), Stimuli(twice)).pieces() == pieces
    table = table_of(tmp_path, Toy(), stimuli)
    done(table, pieces[3:5])
    assert table.pieces() == pieces
    assert table.missing(table.nodes) == pieces[:3] + pieces[5:]


def test_pieces_in_any_order_leave_the_files_of_one_pass(tmp_path):
    stimuli = stimuli_of(70)
    one, two = (table_of(tmp_path / n, Toy(batch=3), stimuli) for n in "ab")
    done(one)
    pieces = two.pieces()
    assert len(pieces) == 5
    for k in (3, 0, 4):
        done(two, [pieces[k]])
    done(two)
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


@pytest.mark.parametrize("batch", [1, 3, 4, 9, 16, 50])
def test_small_batches_are_stored_together(tmp_path, batch):
    class Reused(Toy):
        """Yields the same memory again and again."""

        def __call__(self, stimuli):
            for rows in super().__call__(stimuli):
                memory = {n: np.array(a) for n, a in rows.items()}
                yield memory
                for array in memory.values():
                    array[:] = np.nan

    stimuli = stimuli_of(16)
    table = table_of(tmp_path, Reused(batch=batch), stimuli)
    assert sum(done(table)) == 16
    sizes = sorted(len(np.load(f)) for f in tmp_path.rglob("*low.npy"))
    assert sum(sizes) == 16 and all(s >= 4 for s in sizes[1:])
    found = table.entry.read("low", list(table.digest.values()))
    np.testing.assert_array_equal(found, np.stack([row_of(d, 6) for d in table.digest.values()]))


def test_batches_of_other_shapes_are_not_joined(tmp_path):
    class Odd(Toy):
        def __call__(self, stimuli):
            for k, rows in enumerate(super().__call__(stimuli)):
                yield {n: a[:, : 2 + k % 2] for n, a in rows.items()}

    with pytest.raises(DataError, match=r"different shapes for 'low': \(2,\) float32, \(3,\)"):
        done(table_of(tmp_path, Odd(batch=2), stimuli_of(8)))


class Broken(Toy):
    """Cannot read some stimuli, and writes down what it is asked for."""

    bad = ("img5", "img17", "img18")
    upfront = False

    def look(self, ids):
        for i in ids:
            if i in self.bad:
                raise FileError(f"{i}.png: is no image")

    def __call__(self, stimuli):
        ids = list(stimuli.ids)
        if self.upfront:
            self.look(ids)
        for k, rows in enumerate(super().__call__(stimuli)):
            self.look(ids[4 * k : 4 * k + 4])
            yield rows


@pytest.mark.parametrize("upfront", [False, True])
def test_stimuli_that_fail_are_told_and_the_rest_is_stored(tmp_path, upfront):
    extractor, stimuli, broken = Broken(), stimuli_of(40), {}
    extractor.upfront = upfront
    table = table_of(tmp_path, extractor, stimuli)
    assert sum(done(table, broken=broken)) == 37
    assert broken == {f"d{i}": f"{i}.png: is no image" for i in Broken.bad}
    left = [d for i, d in table.digest.items() if i not in Broken.bad]
    np.testing.assert_array_equal(
        table.entry.read("low", left), np.stack([row_of(d, 6) for d in left])
    )
    assert [i for p in table.missing(table.nodes) for i in p.values()] == list(Broken.bad)
    with pytest.raises(FileError, match="img5"):
        done(table)


def test_any_error_of_a_users_own_extractor_may_be_skipped(tmp_path):
    class Own(Broken):
        def look(self, ids):
            if "img5" in ids:
                raise ZeroDivisionError("division\nby zero")

    broken = {}
    done(table_of(tmp_path, Own(), stimuli_of(9)), broken=broken)
    assert broken == {"dimg5": "ZeroDivisionError: division"}


def test_what_fails_together_and_not_alone_is_no_matter_of_the_stimuli(tmp_path):
    class Hungry(Broken):
        def look(self, ids):
            if len(ids) > 1:
                raise MemoryError

    broken = {}
    with pytest.raises(MemoryError):
        done(table_of(tmp_path, Hungry(), stimuli_of(9)), broken=broken)
    assert broken == {}


def test_values_that_are_not_finite_may_be_skipped(tmp_path):
    class Silent(Toy):
        def __call__(self, stimuli):
            for rows in super().__call__(stimuli):
                low = np.where(rows["low"] == row_of("dimg2", 6), np.nan, rows["low"])
                yield rows | {"low": low}

    broken = {}
    done(table_of(tmp_path, Silent(), stimuli_of(6)), broken=broken)
    assert list(broken) == ["dimg2"] and "not finite" in broken["dimg2"]


@dataclass
class Typed(Toy):
    dtype: str = "float16"
    gain: float = 1.0

    def __call__(self, stimuli):
        for rows in super().__call__(stimuli):
            yield {n: a * self.gain for n, a in rows.items()}


def test_rows_are_stored_in_the_type_that_the_extractor_asks_for(tmp_path):
    table = table_of(tmp_path, Typed(), stimuli_of(10))
    done(table)
    exact = np.stack([row_of(d, 6) for d in table.digest.values()])
    found = table.entry.read("low", list(table.digest.values()))
    np.testing.assert_array_equal(found, exact.astype(np.float16))
    facts = table.entry.facts(table.digest.values())
    assert facts["rows"] == 10 and facts["dtypes"] == ["float16"]
    assert facts["bytes"] == sum(f.stat().st_size for f in tmp_path.rglob("*.npy"))
    blocks = [exact[k : k + 4].astype(np.float64) for k in (0, 4, 8)]
    errors = [np.abs(b - b.astype(np.float16)).max() / np.sqrt(np.mean(b**2)) for b in blocks]
    assert facts["rounding"] == pytest.approx(max(errors), rel=5e-3)
    plain = table_of(tmp_path / "plain", Typed(dtype="float32"), stimuli_of(3))
    done(plain)
    assert plain.entry.facts(plain.digest.values())["rounding"] is None
    assert plain.entry.facts(["x"]) == {
        "rows": 0, "dtypes": ["float32"], "bytes": 0, "rounding": None,
    }  # fmt: skip


def test_what_overflows_half_precision_names_float32(tmp_path):
    table = table_of(tmp_path, Typed(gain=1e6), stimuli_of(3))
    with pytest.raises(DataError, match=r"img0.*not finite \(float16\).*store float32"):
        done(table)


class Words(Toy):
    """Rows are made of words, not of files."""

    def content(self, stimuli):
        return [f"d{w}" if w else "" for w in stimuli.table["text"]]

    def __call__(self, stimuli):
        return super().__call__(stimuli.with_column("digest", self.content(stimuli)))


def test_rows_may_be_found_by_what_the_extractor_reads(tmp_path):
    stimuli = stimuli_of(4).with_column("text", ["a", "", "b", "a"]).with_column("digest", "x" * 4)
    toy = Words()
    space = stored_spaces(tmp_path, "words", toy, KEY, stimuli)["words.low"]
    found = space.read(["img0", "img2", "img3"])
    np.testing.assert_array_equal(found, [row_of(d, 6) for d in ("da", "db", "da")])
    assert toy.asked == ["img0", "img2"]
    with pytest.raises(DataError, match="'img1' holds nothing that they can be made of"):
        space.read(["img1"])
    toy.content = lambda stimuli: ["a"]
    with pytest.raises(DataError, match="content of 1 stimuli, but there are 4"):
        table_of(tmp_path, toy, stimuli)


def test_fill_says_how_long_it_took(tmp_path):
    table = table_of(tmp_path, Toy(pause=0.01), stimuli_of(8))
    assert fill({table: table.missing(table.nodes)})["toy"] >= 0.02

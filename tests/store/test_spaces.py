"""Spaces extract what is missing, once, and never what is there."""

import pickle
import random
import shutil

import numpy as np
import pandas as pd
import pytest

from striate.data import Features, Stimuli
from striate.errors import DataError
from striate.machine import Machine, using
from striate.store import atomic, stored_spaces

from .toy import KEY, Toy, row_of, snapshot, stimuli_of


@pytest.fixture(autouse=True)
def _small_batches():
    with using(Machine(batch=4, quiet=True)):
        yield


def spaces_of(folder, toy, stimuli, key=KEY):
    return stored_spaces(folder, "toy", toy, key, stimuli)


def expected(stimuli, width=6):
    return np.stack([row_of(d, width) for d in stimuli.table["digest"]])


def test_names_and_keys(tmp_path):
    spaces = spaces_of(tmp_path, Toy(), stimuli_of(3))
    assert list(spaces) == ["toy.low", "toy.deep/3 relu"]
    other = spaces_of(tmp_path, Toy(), stimuli_of(9), key="cd" + KEY)
    keys = {s.key for s in [*spaces.values(), *other.values()]}
    assert len(keys) == 4
    assert spaces["toy.low"].key == spaces_of(tmp_path, Toy(), stimuli_of(1))["toy.low"].key
    assert list(tmp_path.iterdir()) == []


def test_a_single_unnamed_space_has_the_name_of_the_table(tmp_path):
    class Pixels(Toy):
        def names(self):
            return [""]

        def __call__(self, stimuli):
            for batch in super().__call__(stimuli):
                yield {"": batch["low"]}

    spaces = spaces_of(tmp_path, Pixels(), stimuli_of(3))
    assert list(spaces) == ["toy"]
    np.testing.assert_array_equal(spaces["toy"].read(["img1"]), expected(stimuli_of(3))[1:2])


def test_one_pass_fills_every_space_and_the_whole_universe(tmp_path):
    toy, stimuli = Toy(), stimuli_of(10)
    spaces = spaces_of(tmp_path, toy, stimuli)
    np.testing.assert_array_equal(spaces["toy.low"].read(["img7"]), expected(stimuli)[7:8])
    assert toy.asked == list(stimuli.ids)
    deep = spaces["toy.deep/3 relu"].read(stimuli.ids)
    assert deep.shape == (10, 2, 3) and deep.dtype == np.float64
    np.testing.assert_array_equal(deep.reshape(10, 6), 2 * expected(stimuli))
    assert len(toy.asked) == 10
    view = Features(spaces, ("img3", "img3", "img0"))
    np.testing.assert_array_equal(view["toy.low"], expected(stimuli)[[3, 3, 0]])


def test_what_is_stored_is_never_extracted(tmp_path):
    class Broken(Toy):
        def __call__(self, stimuli):
            raise AssertionError("called")

    stimuli = stimuli_of(10)
    spaces_of(tmp_path, Toy(), stimuli)["toy.low"].read(["img0"])
    subset = spaces_of(tmp_path, Broken(), stimuli.select(["img9", "img2"]))
    np.testing.assert_array_equal(
        subset["toy.low"].read(["img9", "img2"]), expected(stimuli)[[9, 2]]
    )


def test_one_more_image_extracts_one_image(tmp_path):
    spaces_of(tmp_path, Toy(), stimuli_of(10))["toy.low"].read(["img0"])
    toy, more = Toy(), stimuli_of(11)
    spaces = spaces_of(tmp_path, toy, more)
    spaces["toy.low"].read(["img3"])
    assert toy.asked == []
    np.testing.assert_array_equal(spaces["toy.low"].read(more.ids), expected(more))
    assert toy.asked == ["img10"]


def test_the_same_content_under_another_name_is_the_same_row(tmp_path):
    toy, stimuli = Toy(), stimuli_of(6)
    twice = Stimuli(pd.concat([stimuli.table, stimuli.table.rename(lambda i: f"copy_{i}")]))
    spaces = spaces_of(tmp_path, toy, twice)
    np.testing.assert_array_equal(
        spaces["toy.low"].read(["copy_img5", "img5"]), expected(stimuli)[[5, 5]]
    )
    assert len(toy.asked) == 6


def test_extraction_follows_the_natural_order_of_names(tmp_path):
    toy, stimuli = Toy(), stimuli_of(12)
    shuffled = stimuli.select(random.Random(0).sample(stimuli.ids, 12))
    spaces_of(tmp_path / "a", toy, shuffled)["toy.low"].read(["img0"])
    spaces_of(tmp_path / "b", Toy(), stimuli)["toy.low"].read(["img11"])
    assert toy.asked == list(stimuli.ids)
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_a_stimulus_without_file_is_named_when_it_is_wanted(tmp_path):
    stimuli = stimuli_of(4)
    digests = stimuli.table["digest"].tolist()
    holed = stimuli.with_column("digest", [digests[0], "", digests[2], ""])
    spaces = spaces_of(tmp_path, Toy(), holed)
    np.testing.assert_array_equal(spaces["toy.low"].read(["img2"]), expected(stimuli)[2:3])
    with pytest.raises(DataError, match=r"'img1' \(and 1 more\).*img1.png.*'toy.low' need it"):
        spaces["toy.low"].read(stimuli.ids)
    with pytest.raises(DataError, match="no such stimulus: 'img77'"):
        spaces["toy.low"].read(["img0", "img77"])


def every_file(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_one_flipped_bit_in_any_file_is_found_and_repaired(tmp_path, monkeypatch):
    stimuli, chance = stimuli_of(10), random.Random(3)
    store = tmp_path / "store"

    def use() -> list[str]:
        monkeypatch.setattr(atomic, "_INTACT", {})  # as in a new process
        toy = Toy()
        for name, space in spaces_of(store, toy, stimuli).items():
            rows = space.read(stimuli.ids).reshape(10, 6)
            np.testing.assert_array_equal(rows, expected(stimuli) * (1 if name == "toy.low" else 2))
        return toy.asked

    use()
    wanted = snapshot(store)
    files = every_file(store)
    assert len(files) == 1 + 3 * 3
    for file in files:
        for _ in range(4):
            data = bytearray(file.read_bytes())
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            file.write_bytes(data)
            asked = use()
            assert len(asked) == (0 if file.name == "entry.json" else len(asked)) <= 4
            assert asked or file.name == "entry.json", file
            assert snapshot(store) == wanted, file


def test_any_lost_files_are_refilled_to_the_same_bytes(tmp_path, monkeypatch):
    stimuli, chance = stimuli_of(23), random.Random(4)
    store = tmp_path / "store"

    def use() -> None:
        monkeypatch.setattr(atomic, "_INTACT", {})
        for space in spaces_of(store, Toy(), stimuli).values():
            space.read(stimuli.ids)

    use()
    wanted = snapshot(store)
    for _ in range(15):
        for file in chance.sample(every_file(store), chance.randint(1, 9)):
            file.unlink()
        if chance.random() < 0.3:
            shutil.rmtree(chance.choice(list(store.rglob("blocks/*"))))
        use()
        assert snapshot(store) == wanted


class Odd(Toy):
    """Goes wrong in its second batch."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def __call__(self, stimuli):
        for k, batch in enumerate(super().__call__(stimuli)):
            yield self.change(batch) if k == 1 else batch


def put(array, place, value):
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b | {"low": put(b["low"], (2, 1), np.nan)}, "'low'.*'?img6.*not finite"),
        (lambda b: b | {"deep/3 relu": put(b["deep/3 relu"], (0, 0, 0), np.inf)}, "relu'.*img4"),
        (lambda b: b | {"low": b["low"][:2]}, "'low': 2.*one row for each stimulus"),
        (lambda b: {n: np.repeat(a, 3, axis=0) for n, a in b.items()}, "12 rows where 1 to 6"),
        (lambda b: {n: a[:0] for n, a in b.items()}, "0 rows where"),
        (lambda b: b | {"low": b["low"][:, :4]}, "another shape.*'low' 6 float32 there, 'low' 4"),
        (lambda b: b | {"low": b["low"].astype(np.float16)}, "another shape.*float16"),
        (lambda b: {"low": b["low"]}, "announces the spaces low, deep/3 relu but gave low"),
        (lambda b: {}, "but gave none"),
        (lambda b: {n: a[:1] for n, a in b.items()}, "gave 7 rows for 10 stimuli.*img7"),
    ],
)
def test_an_extractor_that_breaks_its_promise(tmp_path, change, message):
    stimuli = stimuli_of(10)
    with pytest.raises(DataError, match=message):
        spaces_of(tmp_path, Odd(change), stimuli)["toy.low"].read(stimuli.ids)
    if "gave 7 rows" not in message:
        assert len(list(tmp_path.rglob("blocks/*"))) == 1
    assert not list(tmp_path.rglob("*.tmp-*"))


def test_too_many_batches(tmp_path):
    class More(Toy):
        def __call__(self, stimuli):
            yield from super().__call__(stimuli)
            yield from super().__call__(stimuli)

    with pytest.raises(DataError, match="where 1 to 0 stimuli are left"):
        spaces_of(tmp_path, More(), stimuli_of(10))["toy.low"].read(["img0"])


def test_an_extractor_without_spaces(tmp_path):
    class Empty(Toy):
        def names(self):
            return []

    with pytest.raises(DataError, match="name no spaces"):
        spaces_of(tmp_path, Empty(), stimuli_of(3))


def test_a_space_travels_to_another_process(tmp_path):
    stimuli = stimuli_of(5)
    space = spaces_of(tmp_path, Toy(), stimuli)["toy.low"]
    again = pickle.loads(pickle.dumps(space))
    assert again.key == space.key
    np.testing.assert_array_equal(again.read(stimuli.ids), expected(stimuli))


def test_no_progress_is_shown_without_a_terminal(tmp_path, capfd):
    with using(Machine(batch=4, quiet=False)):
        spaces_of(tmp_path, Toy(), stimuli_of(5))["toy.low"].read(["img0"])
    assert capfd.readouterr() == ("", "")

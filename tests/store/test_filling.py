"""Tables go through the stimuli side by side."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from striate.data import natural_key
from striate.errors import FileError
from striate.machine import Machine, using
from striate.store import Entry, Table, fill

from .toy import Toy, snapshot, stimuli_of


@pytest.fixture(autouse=True)
def _small_batches():
    with using(Machine(batch=4, quiet=True)):
        yield


@dataclass
class Told(Toy):
    """Writes down which stimuli it works on, beside others."""

    name: str = ""
    log: list = field(default_factory=list)

    def __call__(self, stimuli):
        ids = list(stimuli.ids)
        for k, rows in enumerate(super().__call__(stimuli)):
            self.log += [(self.name, i) for i in ids[k * self.batch : (k + 1) * self.batch]]
            yield rows


def tables(folder, log, batches, stimuli):
    found = []
    for k, batch in enumerate(batches):
        key = f"{k:02d}" + 30 * "0"
        toy = Told(batch=batch, name=f"t{k}", log=log)
        found.append(Table(f"t{k}", Entry(folder, key, {}), toy, stimuli, tuple(toy.names())))
    return {t: t.missing(t.nodes) for t in found}


def test_the_one_that_is_least_far_goes_on(tmp_path):
    log, stimuli = [], stimuli_of(60)
    todo = tables(tmp_path / "together", log, (2, 8, 4), stimuli)
    fill(todo, together=3)
    place = dict.fromkeys(("t0", "t1", "t2"), -1)
    for name, stimulus in log:
        number = stimuli.ids.index(stimulus)
        assert number == place[name] + 1
        place[name] = number
        assert max(place.values()) - min(place.values()) <= 8 + 2
    apart = tables(tmp_path / "apart", [], (2, 8, 4), stimuli)
    fill(apart)
    assert snapshot(tmp_path / "together") == snapshot(tmp_path / "apart")


def test_one_after_another_in_the_order_given(tmp_path):
    log = []
    fill(tables(tmp_path, log, (4, 4, 4), stimuli_of(20)), together=2)
    names = [name for name, _ in log]
    assert set(names[:40]) == {"t0", "t1"} and names[40:] == ["t2"] * 20
    assert names[:8] == ["t0"] * 4 + ["t1"] * 4


def test_a_table_that_is_nearly_done_waits_for_the_others(tmp_path):
    log, stimuli = [], stimuli_of(40)
    todo = tables(tmp_path, log, (4, 4), stimuli)
    first, _ = todo
    todo[first] = todo[first][1:]
    fill(todo, together=2)
    assert log.index(("t0", "img16")) < log.index(("t1", "img20"))
    assert [n for n, _ in log[:20]].count("t1") >= 16
    keys = [natural_key(i) for n, i in log if n == "t0"]
    assert keys == sorted(keys) and len(keys) == 24


def test_an_error_closes_all_and_names_the_file(tmp_path):
    closed = []

    class Bad(Told):
        def __call__(self, stimuli):
            try:
                for k, rows in enumerate(super().__call__(stimuli)):
                    if self.name == "t1" and k == 1:
                        raise FileError("half.mp4: ends too soon")
                    yield rows
            finally:
                closed.append(self.name)

    stimuli, todo = stimuli_of(20), {}
    for k in range(2):
        toy = Bad(name=f"t{k}")
        entry = Entry(tmp_path, f"{k:02d}" + 30 * "0", {})
        table = Table(f"t{k}", entry, toy, stimuli, tuple(toy.names()))
        todo[table] = table.missing(table.nodes)
    with pytest.raises(FileError, match=r"half\.mp4"):
        fill(todo, together=2)
    assert set(closed) == {"t0", "t1"}
    with ThreadPoolExecutor() as pool:
        assert all(pool.submit(t.lock.acquire, False).result() for t in todo)


def test_rows_that_cannot_be_made_are_told_by_table(tmp_path):
    class Half(Told):
        def __call__(self, stimuli):
            if self.name == "t1" and "img6" in stimuli.ids:
                raise FileError("img6.mp4: ends too soon")
            yield from super().__call__(stimuli)

    todo, broken = {}, {}
    for k in range(2):
        toy = Half(name=f"t{k}")
        entry = Entry(tmp_path, f"{k:02d}" + 30 * "0", {})
        table = Table(f"t{k}", entry, toy, stimuli_of(20), tuple(toy.names()))
        todo[table] = table.missing(table.nodes)
    fill(todo, together=2, broken=broken)
    assert broken == {"t0": {}, "t1": {"dimg6": "img6.mp4: ends too soon"}}
    assert [len(t.missing(t.nodes)) for t in todo] == [0, 1]

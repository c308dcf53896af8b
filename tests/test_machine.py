"""The machine is found where it is used, and changes nothing but where work happens."""

import os
from pathlib import Path

import pytest

from striate.errors import RecipeError, StriateError
from striate.machine import Machine, best_batch, here, track, using


def test_here_is_what_is_used_and_ends_with_it():
    before = here()
    with using(Machine(batch=3)) as machine:
        assert here() is machine
        with using(Machine(batch=4)):
            assert here().batch == 4
        assert here() is machine
    assert here() == before
    with pytest.raises(ZeroDivisionError), using(Machine(batch=5)):
        1 / 0  # noqa: B018
    assert here() == before


def test_the_store_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("STRIATE_STORE", raising=False)
    assert Machine().store == Path("/somewhere/striate")
    monkeypatch.setenv("STRIATE_STORE", "/fast")
    assert Machine().store == Path("/fast")
    monkeypatch.delenv("STRIATE_STORE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert Machine().store == Path.home() / ".cache" / "striate"


def test_work_here_is_done_in_order_and_one_by_one():
    done = []
    found = Machine().map(lambda x: done.append(x) or x * 2, [3, 1, 2])
    assert next(found) == 6
    assert done == [3]
    assert list(found) == [2, 4]


def test_track_is_silent_without_a_terminal_and_passes_all_on(capfd, monkeypatch):
    with using(Machine(quiet=False)):
        assert list(track([1, 2], 2, "x")) == [1, 2]
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(os, "isatty", lambda _: True)
    with using(Machine(quiet=True)):
        assert list(track([1, 2], 2, "x")) == [1, 2]
    assert capfd.readouterr() == ("", "")
    with using(Machine(quiet=False)):
        assert list(track([1, 2], 4, "extracting", size=lambda x: 2)) == [1, 2]
    assert "extracting" in capfd.readouterr().err


CURVES = {
    "falls": ({4: 8.0, 8: 4.0, 16: 2.0, 32: 1.5, 64: 1.3, 128: 1.2}, 128, 6),
    "turns": ({4: 8.0, 8: 4.0, 16: 2.0, 32: 2.5}, 16, 4),
    "flat": ({4: 1.0, 8: 0.99, 16: 1.01, 32: 1.0, 64: 0.98, 128: 0.99}, 4, 6),
    "levels off": ({4: 8.0, 8: 4.0, 16: 1.02, 32: 1.0, 64: 1.05, 128: 1.2}, 16, 6),
    "rises": ({4: 1.0, 8: 1.5}, 4, 2),
    "memory ends": ({4: 8.0, 8: 4.0, 16: MemoryError()}, 8, 3),
    "of a GPU": ({4: 8.0, 8: RuntimeError("CUDA out of memory. Tried")}, 4, 2),
    "small": ({4: MemoryError(), 2: MemoryError(), 1: 3.0}, 1, 3),
}


@pytest.mark.parametrize("curve", CURVES)
def test_the_best_batch_of_made_up_curves(curve):
    seconds, best, count = CURVES[curve]
    tried = []

    def measure(size):
        tried.append(size)
        if isinstance(seconds[size], Exception):
            raise seconds[size]
        return seconds[size]

    assert best_batch(measure) == best
    assert len(tried) == count


def test_other_errors_of_a_batch_are_told():
    def broken(size):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="do not fit"):
        best_batch(broken)

    def full(size):
        raise MemoryError

    with pytest.raises(StriateError, match="not even one stimulus"):
        best_batch(full)


def test_a_batch_to_be_found_has_a_usual_size_elsewhere():
    assert [Machine(batch=b).block for b in (0, 1, 64)] == [16, 1, 64]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"batch": -1}, "batch -1"),
        ({"scheduler": "processes"}, "processes:N"),
        ({"scheduler": "processes:0"}, "processes:N"),
        ({"scheduler": "processes:two"}, "processes:N"),
        ({"scheduler": "slurm:"}, "slurm:FILE"),
        ({"scheduler": "dask"}, "tcp://host:port"),
    ],
)
def test_machines_that_cannot_be(fields, told):
    with pytest.raises(RecipeError, match=told):
        Machine(**fields)


def test_what_a_worker_gets():
    for where, threads in (("processes:3", 2), ("processes:16", 1)):
        machine = Machine(scheduler=where, threads=8, batch=5, quiet=False)
        lent = machine.lent()
        assert (lent.scheduler, lent.threads, lent.batch, lent.quiet) == ("", threads, 5, True)
        assert machine.workers() == int(where.partition(":")[2])
        assert machine.job_script() == ""
    assert Machine(threads=3).lent().threads == 3 and Machine().workers() == 1


def test_devices():
    assert str(Machine(device="cpu").torch_device()) == "cpu"
    assert str(Machine(device="cuda:1").torch_device()) == "cuda:1"
    assert str(Machine().torch_device()) in ("cpu", "cuda")

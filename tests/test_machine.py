"""The machine is found where it is used, and changes nothing but where work happens."""

import os
from pathlib import Path

import pytest

from striate.machine import Machine, here, track, using


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


def test_devices():
    assert str(Machine(device="cpu").torch_device()) == "cpu"
    assert str(Machine(device="cuda:1").torch_device()) == "cuda:1"
    assert str(Machine().torch_device()) in ("cpu", "cuda")

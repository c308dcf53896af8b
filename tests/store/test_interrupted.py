"""Whatever moment a process is killed at, resuming it leaves the bytes of an undisturbed run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
PROGRAM = Path(__file__).with_name("interrupted.py")


def run(what: str, folder: Path) -> dict:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), what, str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert set(out["codes"]) == {0}, (out, done.stderr)
    assert out["temporary"] == []
    assert out.get("wrong", []) == []
    return out


def test_rows_survive_twenty_kills_at_random_moments(tmp_path):
    out = run("rows-random", tmp_path)
    assert out["kills"] == 20
    assert out["files"] > 120 * 3


def test_rows_survive_a_kill_before_every_change_of_a_file(tmp_path):
    assert run("rows-each", tmp_path)["kills"] > 25


def test_products_survive_twenty_kills_at_random_moments(tmp_path):
    assert run("products-random", tmp_path)["kills"] >= 5


def test_products_survive_a_kill_before_every_change_of_a_file(tmp_path):
    assert run("products-each", tmp_path)["kills"] > 20


def test_two_processes_fill_one_entry(tmp_path):
    run("two", tmp_path)


def test_processes_with_other_batches_fill_one_entry(tmp_path):
    run("two-batches", tmp_path)

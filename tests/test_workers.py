"""Workers: here, asked of a queue, killed and replaced; one crew for all calls of a run."""

import os
import signal
from pathlib import Path

import pytest

from striate.errors import DataError, FileError, RecipeError, StriateError
from striate.machine import Machine, using
from striate.workers import Workers

TABLE = """
queue = "gpu"
cores = 8
memory = "32GB"
walltime = "02:00:00"
account = "lab"
jobs = 3
"""


def who(number):
    return number, os.getpid()


def mistaken(number):
    raise DataError(f"number {number} is wrong")


def fatal(flag):
    if not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_one_crew_serves_all_calls_of_a_run(tmp_path):
    pytest.importorskip("distributed")
    machine = Machine(scheduler="processes:2", threads=4, store=tmp_path)
    with using(machine):
        found = list(machine.map(who, range(12)))
        assert [number for number, _ in found] == list(range(12))
        crew = {pid for _, pid in found}
        assert 1 <= len(crew) <= 2 and os.getpid() not in crew
        assert {pid for _, pid in machine.map(who, range(12))} <= crew
        assert machine.workers() == 2
        with pytest.raises(DataError, match="number 5 is wrong"):
            list(machine.map(mistaken, [5]))
        (replaced,) = machine.map(fatal, [str(tmp_path / "flag")])
        assert (tmp_path / "flag").exists()
        assert replaced != os.getpid()
    for pid in crew:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_task_that_kills_every_worker_ends(tmp_path):
    dask = pytest.importorskip("dask")
    crew = Workers("processes:1", 1)
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        with pytest.raises(StriateError, match="died again and again"):
            list(crew.map(fatal, [str(tmp_path / "flag")]))
        crew.close()


def test_the_script_that_asks_a_queue(tmp_path):
    pytest.importorskip("dask_jobqueue")
    (tmp_path / "queue.toml").write_text(TABLE)
    machine = Machine(scheduler=f"slurm:{tmp_path}/queue.toml", threads=2)
    script = machine.job_script()
    for line in (
        "#SBATCH -p gpu",
        "#SBATCH -A lab",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH -t 02:00:00",
        "--nthreads 1",
    ):
        assert line in script, script
    assert "#SBATCH --mem=30G" in script
    assert machine.workers() == 3
    assert machine.lent().threads == 8
    table = {"cores": 8, "memory": "4GB", "processes": 4, "job_extra_directives": ["--gres=gpu:1"]}
    crew = Workers(table, 2)
    assert (crew.size(), crew.threads()) == (4, 2)
    script = crew.job_script()
    assert "--gres=gpu:1" in script and "--nworkers 4" in script
    assert "--cpus-per-task=8" in script


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        (None, FileError, "queue.toml cannot be read"),
        ("cores = ", FileError, "no valid TOML"),
        ('memory = "1GB"', RecipeError, "'cores'"),
        ("cores = 2", RecipeError, "'memory'"),
        ('cores = 0\nmemory = "1GB"', RecipeError, "cores = 0"),
        ('cores = 2\nmemory = "1GB"\njobs = "all"', RecipeError, "jobs = 'all'"),
        ('cores = 2\nmemory = "1GB"\nwaltime = "1:00"', RecipeError, "did you mean 'walltime'"),
    ],
)
def test_tables_that_describe_no_workers(tmp_path, text, error, told):
    pytest.importorskip("dask_jobqueue")
    if text is not None:
        (tmp_path / "queue.toml").write_text(text)
    with pytest.raises(error, match=told):
        Workers(f"slurm:{tmp_path}/queue.toml", 1).job_script()


def test_nothing_starts_before_it_is_needed():
    crew = Workers("tcp://127.0.0.1:1", 3)
    assert crew.threads() == 3 and crew.job_script() == ""
    crew.close()
    crew.close()


def test_no_scheduler_at_the_address():
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}),
        pytest.raises(RecipeError, match="no Dask scheduler answers at 'tcp:"),
    ):
        Workers("tcp://127.0.0.1:1", 1).size()

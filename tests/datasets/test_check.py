"""Looking through a copy: what is wrong comes first, and a status tells scripts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from striate.cli import app
from striate.data import Stimuli, label_responses
from striate.datasets.check import examine
from striate.datasets.facts import Facts, Finding, root_of
from striate.errors import DataError, StriateError
from striate.interfaces import Dataset

SOURCE = """
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from striate.datasets.facts import Facts
from datasets.test_check import Small as Base

@dataclass(frozen=True)
class Small(Base):
    pass
"""


@dataclass(frozen=True)
class Small(Dataset):
    """Images named 0 to 5 and one table of responses."""

    path: str | Path = field(metadata={"machine": True})
    facts: ClassVar[Facts] = Facts(
        "Small", "https://where", "an agreement", "6 kB", "us", "images/"
    )

    def stimuli(self):
        root = root_of(self.path, self.facts, ["images"])
        return Stimuli.from_files([str(f) for f in sorted((root / "images").iterdir())])

    def responses(self):
        values = np.load(Path(self.path) / "responses.npy")
        if len(values) != 6:
            raise DataError(f"responses.npy holds {len(values)} rows, not 6")
        return {"a": label_responses(values, self.stimuli().ids, subject="a")}

    def inspect(self):
        root = root_of(self.path, self.facts, ["images"])
        yield Finding("there", str(root / "images"), "images")
        yield Finding("missing", str(root / "more"), "nothing more")
        if len(np.load(root / "responses.npy")) != 6:
            yield Finding("wrong", str(root / "responses.npy"), "does not hold 6 rows")


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{k}.png")
    np.save(tmp_path / "responses.npy", rng.standard_normal((6, 4)))
    return tmp_path


def test_order_numbers_and_nothing_wrong(copy):
    found = examine(Small(copy))
    assert [f.kind for f in found.findings] == ["missing", "there"]
    assert not found.wrong and not found.unopened and not found.foreign
    assert any("6 rows × 4 targets" in line for line in found.lines)
    assert examine(Small(copy), numbers=False).lines == ()


def test_wrong_files_come_first_and_the_reason_is_kept(copy):
    np.save(copy / "responses.npy", np.zeros((5, 4)))
    (copy / "images" / "3.png").write_bytes(b"no image")
    for numbers in (True, False):
        found = examine(Small(copy), numbers=numbers)
        assert [Path(f.file).name for f in found.findings][:2] == ["responses.npy", "3.png"]
        assert [f.kind for f in found.findings] == ["wrong", "wrong", "missing", "there"]
        assert not found.foreign
    assert "holds 5 rows" in examine(Small(copy)).unopened


def test_a_folder_of_something_else(tmp_path):
    found = examine(Small(tmp_path))
    assert found.foreign and "get them from https://where" in found.unopened


def striate(*words):
    return CliRunner().invoke(app, ["check", *map(str, words)])


@pytest.fixture
def name(tmp_path_factory):
    file = tmp_path_factory.mktemp("plug") / "small.py"
    file.write_text(SOURCE)
    return f"{file}:Small"


def test_statuses_for_scripts(copy, name, tmp_path_factory):
    done = striate(name, f"path={copy}")
    assert done.exit_code == 0 and "6 rows × 4 targets" in done.output
    assert done.output.index("missing") < done.output.index("there   ")
    done = striate(name, f"path={copy}", "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    (copy / "images" / "3.png").write_bytes(b"no image")
    done = striate(name, f"path={copy}", "-q")
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith("wrong") and "3.png" in line
    empty = tmp_path_factory.mktemp("empty")
    for words in ([f"path={empty}"], [f"path={empty / 'nowhere'}"], []):
        done = striate(name, *words)
        assert isinstance(done.exception, StriateError)
        assert "https://where" in done.output and "an agreement" in done.output
        assert "images/" in done.output
    assert striate(name, f"path={empty}", "-q").output == ""


def test_a_submission_is_checked_by_its_names(tmp_path):
    runner = CliRunner()
    bad = tmp_path / "submit_fmri.mat"
    bad.write_bytes(b"no matlab")
    done = runner.invoke(app, ["check-submission", str(bad)])
    assert done.exit_code == 1 and "submit_fmri.mat" in done.output
    done = runner.invoke(app, ["check-submission", str(bad), "algonauts2019"])
    assert done.exit_code == 1
    done = runner.invoke(app, ["check-submission", str(tmp_path / "nowhere.zip")])
    assert isinstance(done.exception, StriateError) and "nowhere.zip" in str(done.exception)
    done = runner.invoke(app, ["check-submission", str(bad), "nonsense"])
    assert isinstance(done.exception, StriateError) and "nonsense" in str(done.exception)


def test_a_submission_that_fits(tmp_path):
    from scipy.io import savemat

    half = np.triu(np.random.default_rng(0).random((2, 78, 78)), 1)
    good = half + half.transpose(0, 2, 1)
    file = tmp_path / "submit_meg.mat"
    savemat(file, {"MEG_RDMs_early": good[0], "MEG_RDMs_late": good[1]})
    runner = CliRunner()
    done = runner.invoke(app, ["check-submission", str(file)])
    assert done.exit_code == 0 and "algonauts2019 that fits the official shapes" in done.output
    words = ["check-submission", str(file), "algonauts2019", f"path={tmp_path}", "modality=meg"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0 and "fits this copy" in done.output
    done = runner.invoke(app, [*words[:-1], "test=92"])
    assert done.exit_code == 1

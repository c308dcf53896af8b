"""One stimulus is chosen and shown to every feature; what fails leaves no trace."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.media.made_films import film

from striate.errors import DataError, FileError, RecipeError
from striate.machine import using
from striate.recipe import parse
from striate.run import Plan, look
from striate.run.looks import MOST, example

from .worlds import Bench

DRAWS = f"{Path(__file__).with_name('drawing.py')}:Draws"


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "bench")
    made.subject()
    files = []
    for k, i in enumerate(made.ids):
        file = tmp_path / f"{i}.png"
        Image.fromarray(np.full((4, 4, 3), k, np.uint8)).save(file)
        files.append(str(file))
    made.table["file"] = files
    return made


def planned(bench, *whats, members=None, **more):
    features = {w: {"use": DRAWS, "what": w} for w in whats}
    used = members or [{"name": "m", "features": list(whats), "encoder": bench.linear()}]
    with using(bench.machine()):
        return Plan(bench.recipe(used, features=features, **more))


def test_the_first_film_is_the_example_or_else_the_first_file(bench, tmp_path):
    assert example(planned(bench, "right")).stimulus == "im0"
    bench.table.loc["im0", "file"] = ""
    bench.table.loc["im1", "file"] = str(tmp_path / "gone.mp4")
    assert example(planned(bench, "right")).stimulus == "im2"
    for i in ("im10", "im9"):
        bench.table.loc[i, "file"] = str(film(tmp_path / f"{i}.mp4", frames=2, size=(16, 16)))
    assert example(planned(bench, "right")).stimulus == "im9"


def test_only_what_members_read_is_asked_and_failures_are_left_out(bench):
    plan = planned(
        bench, "broken", "right", "none", "wrong", "unread",
        members=[
            {"name": "one", "features": ["broken.a", "wrong.a"], "encoder": bench.linear()},
            {"name": "two", "features": ["none", "right"], "encoder": bench.linear()},
        ],
    )  # fmt: skip
    found = example(plan)
    (seen,) = found.seen
    assert (seen.name, seen.caption, seen.pixels.shape) == ("right", "Nothing but", (4, 3, 3))
    assert found.without["broken"] == "ZeroDivisionError"
    assert "no picture" in found.without["none"] and "float" in found.without["wrong"]
    assert "unread" not in found.without


def test_without_files_or_pictures_there_is_no_example(bench):
    assert example(planned(bench, "broken", "none")) is None
    bench.table["file"] = ""
    assert example(planned(bench, "right")) is None
    with using(bench.machine()):
        assert example(Plan(bench.recipe([{"name": "m", "encoder": bench.linear()}]))) is None


def test_a_sweep_of_hundreds_is_not_all_asked(bench):
    many = {f"f{k}": {"use": DRAWS} for k in range(MOST + 3)}
    used = [{"name": "m", "features": list(many), "encoder": bench.linear()}]
    with using(bench.machine()):
        found = example(Plan(bench.recipe(used, features=many)))
    assert [k.name for k in found.seen] == list(many)[:MOST]


def test_a_run_carries_its_pictures_and_its_numbers_do_not_depend_on_them(bench):
    def run(what):
        features = {"x": {"use": DRAWS, "what": what}}
        return bench.run([{"name": "m", "encoder": bench.linear()}], features=features)

    right, broken = run("right"), run("broken")
    assert right.looks.stimulus == "im0" and [k.name for k in right.looks.seen] == ["x"]
    assert broken.looks is None
    assert right.summary["scores"] == broken.summary["scores"]


def recipe(**features):
    table = {"dataset": {"use": "folder"}, "member": [{"name": "m", "encoder": "ridge"}]}
    return parse(table | {"features": features})


def test_any_file_can_be_looked_at(bench, tmp_path):
    file = str(tmp_path / "im3.png")
    own, pixels = {"use": DRAWS}, {"use": "pixels", "size": 4}
    found = look(recipe(own=own, bad=own | {"what": "broken"}, pixels=pixels), file)
    assert found.stimulus == "im3" and [k.name for k in found.seen] == ["own", "pixels"]
    assert (found.seen[1].pixels == 3).all() and list(found.without) == ["bad"]
    with pytest.raises(FileError, match="nowhere"):
        look(recipe(own=own), str(tmp_path / "nowhere.png"))
    with pytest.raises(DataError, match="'bad': ZeroDivisionError"):
        look(recipe(bad=own | {"what": "broken"}), file)
    with pytest.raises(RecipeError, match="no features"):
        look(recipe(), file)

"""Fields of optical flow as a network of motion is shown them."""

import numpy as np
import pytest
import torch
from PIL import Image
from tests.media.made_films import film

from striate.data import Shown
from striate.errors import RecipeError
from striate.media import Frames
from striate.nets.flow import LucasKanade, scaled
from striate.nets.inputs import flows
from striate.nets.inputs.flows import Flows, flow_method, flow_of, method_identity, moving
from striate.nets.preprocessing import Preprocessing
from striate.nets.raft import Raft

FORM = Preprocessing((48, 48), (32, 32))
QUICK = LucasKanade(steps=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("flows")
    noise = np.random.default_rng(0).integers(0, 256, (9, 20, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(noise).resize((128, 48), Image.Resampling.BICUBIC))

    def drift(k):
        return np.ascontiguousarray(texture[:, 40 - k : 88 - k])

    film(place / "film.mp4", 20, 20, (48, 48), picture=drift, options={"crf": "1"})
    film(place / "one.mp4", 1, 20, (48, 48), picture=drift)
    Image.fromarray(drift(0)).save(place / "still.png")
    return place


def shown(folder, name):
    return Shown(name, str(folder / name))


def test_a_picture_stands_still_for_as_long_as_a_film_lasts(folder):
    form = Preprocessing((48, 48))
    for rule, count in ((Frames(5), 5), (Frames(1), 2), (Frames.parse({"rate": 3}), 16)):
        still = moving(shown(folder, "still.png"), rule, form)
        assert len(still) == count and (still == still[:1]).all()
    assert len(moving(shown(folder, "film.mp4"), Frames(5), form)) == 5
    assert len(moving(shown(folder, "film.mp4"), Frames(1), form)) == 2
    assert len(moving(shown(folder, "one.mp4"), Frames.parse({"rate": 20}), form)) == 16


def test_pairs_are_computed_in_pieces_that_do_not_matter(folder, monkeypatch):
    pixels = torch.from_numpy(moving(shown(folder, "film.mp4"), Frames(20), FORM))
    whole = flow_of(pixels, QUICK)
    assert whole.shape == (19, 2, 32, 32)
    monkeypatch.setattr(flows, "TOGETHER", 3)
    torch.testing.assert_close(flow_of(pixels, QUICK), whole, rtol=1e-3, atol=1e-3)
    pairs = [flow_of(pixels[k : k + 2], QUICK) for k in range(19)]
    torch.testing.assert_close(torch.cat(pairs), whole, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("steps", [False, True])
def test_a_network_is_given_the_middle_of_the_flow_of_whole_frames(folder, steps):
    input_ = Flows(FORM, Frames(4), limit=8.0, steps=steps)
    items = torch.from_numpy(input_.read(shown(folder, "film.mp4")))
    assert items.shape == input_.blank().shape == (1, 4, 48, 48, 3)
    found = input_(torch.cat([items, items.flip(1)]))
    assert found.shape == (2, 2, 3, 32, 32)
    expected = scaled(flow_of(items[0], LucasKanade()), 32, 8.0, steps)
    torch.testing.assert_close(found[0], expected.transpose(0, 1))
    # 19 frames in 3 steps: 6 and a third pixels to the right, of the 8 that are 1.
    assert found[0, 0].mean() > 0.4 > abs(found[0, 1]).mean()
    assert found[1, 0].mean() < -0.4


def test_what_does_not_move_is_zero(folder):
    input_ = Flows(FORM, Frames(3))
    items = torch.from_numpy(input_.read(shown(folder, "still.png")))
    assert abs(input_(items)).max() < 1e-6
    assert not input_(input_.blank()).any()
    grey = Flows(FORM, Frames(3), steps=True)(items)
    torch.testing.assert_close(grey, torch.full_like(grey, 1 / 255))


def test_size_count_and_cost(folder):
    square = Flows(Preprocessing(48, (32, 32)), Frames(4))
    assert square.read(shown(folder, "film.mp4")).shape == (1, 4, 48, 48, 3)
    assert square.kind == "clip" and square.cost == 4
    assert square.count(shown(folder, "film.mp4")) == 1
    assert Flows(FORM, Frames(1)).cost == 2


def test_all_that_decides_is_in_the_identity():
    base = Flows(FORM, Frames(4))
    others = [
        Flows(Preprocessing((48, 48)), Frames(4)),
        Flows(FORM, Frames(5)),
        Flows(FORM, Frames(4), QUICK),
        Flows(FORM, Frames(4), Raft("raft_small", "none")),
        Flows(FORM, Frames(4), limit=10.0),
        Flows(FORM, Frames(4), steps=True),
    ]
    told = [str(o.identity()) for o in (base, *others)]
    assert len(set(told)) == len(told)


def test_methods_by_name():
    assert flow_method("lucas-kanade", {}) == LucasKanade()
    assert flow_method("lucas-kanade", {"window": 3}) == LucasKanade(window=3)
    small = flow_method("raft_small", {"weights": "none", "updates": 2})
    assert small == Raft("raft_small", "none", 2)
    assert method_identity(small) == small.identity()
    one, two = (method_identity(LucasKanade(window=w)) for w in (3, 3.0))
    assert str(one) == str(two) and one["model"] == "lucas-kanade"
    with pytest.raises(
        RecipeError, match=r"unknown method of optical flow 'farneback'.*raft_large"
    ):
        flow_method("farneback", {})
    with pytest.raises(RecipeError, match="unknown field of flow 'update': did you mean 'updates'"):
        flow_method("raft_small", {"update": 2})

"""Every registered class keeps the contract, and so does a plug-in in a user's own file."""

import dataclasses
import json
import textwrap
import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image
from scipy.io import wavfile
from tests.media.made_films import film
from tests.nets.libraries import tiny

from striate import testing
from striate.data import Stimuli
from striate.interfaces import learned, with_learned
from striate.machine import Machine, using
from striate.nets.nodes import Nodes
from striate.registry import build, find, identity, key_of, make, names, table_of
from striate.store import load_tree, save_tree
from striate.testing import (
    ContractError,
    check_dataset,
    check_encoder,
    check_extractor,
    check_step,
    members_case,
    pairs_case,
    stimuli_case,
)

HERE = "tests/test_contract.py"
LASSO = {"estimator": "sklearn.linear_model:Lasso", "options": {"alpha": 0.1}}

# For each registered name a line of a recipe; "case" says which made-up problem suits it, or what
# an extractor is shown where that is not images.
ENCODERS = {
    "banded": {"alphas": [1.0, 10.0, 100.0], "draws": 8},
    "best": {"case": members_case},
    "elastic_net": {"n_alphas": 20},
    "ensemble": {"case": members_case},
    "fractional_ridge": {"folds": 3},
    "kernel_ridge": {"alphas": [0.1, 1.0], "kernel": "rbf"},
    "lasso": {"n_alphas": 20},
    "least_squares": {},
    "mean": {"case": members_case},
    "median": {"case": members_case},
    "multitask": {"n_alphas": 20},
    "pls": {"components": 3},
    "rdm": {"case": pairs_case},
    "rdm_best": {"case": pairs_case},
    "rdm_weighted": {"case": pairs_case},
    "res": {"neighbours": [0, 20]},
    "ridge": {"alphas": [1.0, 10.0]},
    "sklearn": LASSO,
    "softmax": {"case": members_case},
    "stack": {"case": members_case},
    "stitch": {"case": members_case},
    "top": {"case": members_case},
    "weighted": {"case": members_case, "weights": {"one": 0.7, "t*": 0.3}},
}
STEPS = {
    "context": {},
    "delays": {},
    "hrf": {"tr": 2.0},
    "pca": {"components": 4},
    "polynomial": {},
    "power": {},
    "projection": {"components": 5},
    "window": {},
    "zscore": {},
}
TOWERS = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"width": 16, "heads": 2, "layers": 1},
}
EXTRACTORS = {
    "array": {"path": "{folder}/values.npy", "ids": "{folder}/ids.txt"},
    "edges": {"size": 32, "sigmas": [1.0], "orientations": 4, "pool": "mean:4"},
    "flow": {"case": "films", "size": 32, "frames": 3, "cells": 4, "grid": 2},
    "frames": {"size": 16},
    "function": {"call": "{folder}/mine.py:means", "size": 16},
    "gabor": {"size": 32, "frequencies": [2.0, 4.0]},
    "hub": {"model": "{folder}/repository:small", "nodes": ["conv"], "weights": "none", "size": 16},
    "module": {"model": "{folder}/net.py:Net", "nodes": ["conv"], "size": 16},
    "motion_energy": {
        "case": "films",
        "size": 32,
        "frequencies": [4.0],
        "directions": 4,
        "speeds": [0.0, 2.0],
        "window": 4,
    },
    "open_clip": {
        "model": "ViT-B-32",
        "nodes": ["embedding"],
        "weights": "none",
        "options": TOWERS,
    },
    "pixels": {"size": 8},
    "sound": {"case": "sounds", "rate": 8000, "length": 512, "hop": 256, "bands": 20},
    "timm": {"model": "resnet10t", "nodes": ["layer1"], "weights": "none", "size": 32},
    "torchvision": {
        "model": "squeezenet1_1",
        "nodes": ["features.3"],
        "weights": "none",
        "size": 64,
        "pool": "mean:2",
    },
    "transformers": {
        "model": "dinov2",
        "nodes": ["output"],
        "weights": "none",
        "size": 28,
        "options": tiny.OPTIONS["dinov2"],
    },
    "words": {"case": "texts"},
    "zoo": {
        "case": "films",
        "model": "i3d_flow",
        "nodes": ["Mixed_3b"],
        "weights": "none",
        "size": 32,
        "frames": 3,
        "pool": "mean:1",
    },
}
OF_FILMS = ("edges", "frames", "function", "gabor", "pixels", "sound", "torchvision")
"""Extractors of images or sound that are shown films, too."""
DATASETS: dict[str, dict] = {
    "algonauts2019": {},
    "algonauts2021": {},
    "algonauts2023": {},
    "algonauts2025": {},
    "bold_moments": {},
    "folder": {},
    "nsd": {},
}
TWINS = {
    "algonauts2021": {"clips": (30, 3)},
    "algonauts2023": {"natural": False, "subjects": ("subj01", "subj06")},
    "algonauts2025": {"media": False},
    "bold_moments": {"media": False},
    "nsd": {"sessions": (4, 3), "trials": 20, "shared": 12, "own": 24, "targets": 4, "pixels": 16},
}
"""What makes the twin of a data set small."""

# One other value for every field whose type does not suggest one.
OTHERS = {
    "estimator": "sklearn.linear_model:ElasticNet",
    "options": {"alpha": 0.7},
    "alphas": [1.0, 7.0],
    "keep": {"subject": "x"},
    "nodes": ["*"],
    "pool": "mean:3",
    "dtype": "float16",
    "interpolation": "bicubic",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "nonlinearity": "energy",
    "frequencies": [2.0, 3.0],
    "weights": "{folder}/other.safetensors",
    "path": "{folder}/changed.npy",
    "ids": "{folder}/changed.txt",
    "column": "other",
    "call": "{folder}/mine.py:named",
    "delays": [1, 5],
    "directions": 6,
    "edge": "hold",
    "frames": 5,
    "given": "stimulus",
    "high": 3000,
    "precision": "bfloat16",
    "reduce": "max",
    "returns": ["other"],
    "scale": "htk",
    "seconds": 2.0,
    "sigmas": [2.0],
    "speeds": [0.0, 1.0],
    "time": "max",
    "times": [0.0, 0.5],
    "tower": "text",
}
OTHER_WORDS = (
    *("b", "group", "euclidean", "keep", "118", "meg", "full", "A", "fsaverage", "reliable"),
    *("columns", "repeats", "trials", "none", "kit", "ood"),
)
OTHERS_OF = {
    ("best", "average"): "targets",
    ("banded", "bands"): {"both": ["a", "b"]},
    ("banded", "search"): "halving",
    ("algonauts2021", "rois"): ["V1"],
    ("algonauts2023", "hemispheres"): ["lh"],
    ("algonauts2025", "subjects"): [1],
    ("algonauts2025", "train"): ["friends"],
    ("algonauts2025", "validation"): ["friends-s5"],
    ("nsd", "sessions"): [1],
    ("algonauts2021", "quirks"): ["inflated"],
    ("edges", "kind"): "sobel",
    ("ensemble", "bounds"): [-1.0, 1.0],
    ("ensemble", "each"): "target",
    ("ensemble", "method"): "evolution",
    ("ensemble", "scale"): "zscore",
    ("flow", "method"): "raft_small",
    ("flow", "options"): {"window": 3.0},
    ("hub", "model"): "{folder}/repository:other",
    ("open_clip", "model"): "ViT-B-16",
    ("open_clip", "interpolation"): "bilinear",
    ("open_clip", "options"): TOWERS | {"embed_dim": 16},
    ("sound", "kind"): "mfcc",
    ("transformers", "model"): "vit",
    ("transformers", "interpolation"): "bilinear",
    ("transformers", "options"): tiny.OPTIONS["dinov2"] | {"hidden_size": 24},
    ("zoo", "model"): "i3d_rgb",
    ("zoo", "flow"): "raft_small",
    ("zoo", "flow_options"): {"window": 3.0},
    ("zoo", "options"): {"num_classes": 7},
    ("gabor", "colour"): "rgb",
    ("weighted", "weights"): {"one": 0.5, "two": 0.5},
    ("pca", "solver"): "exact",
    ("pixels", "colour"): "grey",
    ("torchvision", "model"): "squeezenet1_0",
    ("torchvision", "options"): {"num_classes": 7},
    ("timm", "model"): "resnet18",
    ("timm", "interpolation"): "bilinear",
    ("timm", "options"): {"num_classes": 7},
    ("module", "model"): "{folder}/net.py:Other",
    ("module", "options"): {"width": 5},
    ("split kfold", "group"): "session",
}

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, x):
        return self.conv(x)

class Other(Net):
    pass
"""
HUBCONF = """
from torch import nn

def small(width=4):
    return Net(width)

def other():
    return Net(4)

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)

    def forward(self, x):
        return self.conv(x)
"""
MINE = """
def means(frames, alpha=1.0):
    return alpha * frames.mean((1, 2))

def named(frames):
    return {"other": frames.mean((1, 2))}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five images, arrays of features, a network and its weights."""
    import torch
    from safetensors.torch import save_file

    place = tmp_path_factory.mktemp("contract")
    rng = np.random.default_rng(0)
    for k in range(5):
        pixels = rng.integers(0, 256, (40 + 4 * k**2, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"im{k}.png")
    for name in ("values", "changed"):
        np.save(place / f"{name}.npy", rng.standard_normal((5, 3)).astype(np.float32))
    (place / "ids.txt").write_text("\n".join(f"im{4 - k}" for k in range(5)))
    (place / "changed.txt").write_text("\n".join(f"im{k}" for k in range(5)))
    (place / "net.py").write_text(NET)
    (place / "mine.py").write_text(MINE)
    (place / "repository").mkdir()
    (place / "repository" / "hubconf.py").write_text(HUBCONF)
    texture = rng.integers(0, 256, (9, 20, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(texture).resize((120, 48), Image.Resampling.BICUBIC))
    noise = rng.uniform(-0.5, 0.5, 16000).astype(np.float32)
    for k, frames in enumerate((6, 9, 12)):

        def drift(at, step=k + 1):
            return np.ascontiguousarray(texture[:, 50 - step * at : 98 - step * at])

        sound = noise[: 4000 * k] if k else None
        film(place / f"film{k}.mp4", frames, 12, (48, 48), picture=drift, sound=sound)
        wavfile.write(place / f"sound{k}.wav", 16000, noise[4000 * k :])
    save_file({"conv.bias": torch.zeros(4)}, place / "other.safetensors")
    return place


@pytest.fixture(scope="module")
def stimuli(folder):
    return shown("images", folder)


def shown(case, folder):
    """Stimuli of a kind; images unless something else suits an extractor."""
    if case == "texts":
        texts = ["Well, don't", "", "three times", "a"]
        table = {"text": texts, "duration": [1.0, 2.0, 0.5, 3.0]}
        return Stimuli(pd.DataFrame(table, index=["a", "b", "c", "d"]))
    pattern = {"films": "*.mp4", "sounds": "*.wav"}.get(case, "*.png")
    return Stimuli.from_files(sorted(folder.glob(pattern)))


@pytest.fixture(autouse=True, scope="module")
def small_machine(tmp_path_factory):
    with using(Machine(device="cpu", threads=1, quiet=True, store=tmp_path_factory.mktemp("s"))):
        yield


def placed(value, folder):
    return json.loads(json.dumps(value).replace("{folder}", folder.as_posix()))


def line_of(name, table, folder):
    return {"use": name} | placed({k: v for k, v in table.items() if k != "case"}, folder)


KINDS = {"encoder": ENCODERS, "step": STEPS, "extractor": EXTRACTORS, "dataset": DATASETS}
SPLITS = {
    "parts": {},
    "kfold": {},
    "last": {},
    "fixed": {"test": ["a"]},
    "heldout": {"label": "session", "values": ["a"]},
}


@pytest.mark.parametrize("kind", [*KINDS, "split"])
def test_every_registered_class_has_an_instance_here(kind):
    known = {**KINDS, "split": SPLITS}[kind]
    missing = sorted(set(names(kind)) - set(known))
    assert not missing, (
        f"{kind} {', '.join(missing)} is registered but not checked: add a small instance to"
        f" {kind.upper()}S in {HERE}"
    )
    assert set(known) <= set(names(kind))


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder(name, folder):
    table = ENCODERS[name]
    check_encoder(build("encoder", line_of(name, table, folder)), table.get("case", stimuli_case)())


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - {"sklearn"}))
def test_every_fit_but_a_foreign_one_is_stored(name, folder, tmp_path):
    case = ENCODERS[name].get("case", stimuli_case)()
    encoder = build("encoder", line_of(name, ENCODERS[name], folder))
    fitted = encoder.fit(case.features.rows(case.seen), case.groups)
    save_tree(tmp_path / "state", learned(fitted))
    restored = with_learned(encoder, **load_tree(tmp_path / "state"))
    first, second = (f.predict(case.features, case.rows) for f in (fitted, restored))
    xr.testing.assert_identical(first, second)


@pytest.mark.parametrize("name", STEPS)
def test_step(name, folder):
    check_step(build("step", line_of(name, STEPS[name], folder)))


@pytest.mark.parametrize("name", EXTRACTORS)
def test_extractor(name, folder):
    table = EXTRACTORS[name]
    stimuli = shown(table.get("case", "images"), folder)
    check_extractor(build("extractor", line_of(name, table, folder)), stimuli)


@pytest.mark.parametrize("name", OF_FILMS)
def test_extractor_of_films(name, folder):
    table = EXTRACTORS[name] | ({} if name == "sound" else {"frames": 4})
    check_extractor(build("extractor", line_of(name, table, folder)), shown("films", folder))


@pytest.mark.parametrize("name", DATASETS)
def test_dataset(name, tmp_path):
    find("dataset", name).twin(tmp_path / "twin", **TWINS.get(name, {}))
    line = {"use": name, "path": str(tmp_path / "twin")} | DATASETS[name]
    check_dataset(build("dataset", line))


def instances(folder):
    for kind, table in {**KINDS, "split": SPLITS}.items():
        for name, line in table.items():
            own = {"path": "nowhere"} if kind == "dataset" else {}
            yield kind, name, build(kind, line_of(name, line, folder) | own)


def test_a_component_built_from_its_written_line_is_the_same(folder):
    for kind, name, component in instances(folder):
        again = build(kind, table_of(component, name))
        assert again == component, (kind, name)
        written = json.loads(json.dumps(table_of(component, name), default=str))
        assert build(kind, written) == component, (kind, name)
        assert key_of(identity(again)) == key_of(identity(component))


def changed(kind, name, component, field, folder):
    """Another valid value of a field."""
    value = getattr(component, field.name)
    for key in ((name, field.name), (f"{kind} {name}", field.name)):
        if key in OTHERS_OF:
            return placed(OTHERS_OF[key], folder)
    if field.name in OTHERS:
        return placed(OTHERS[field.name], folder)
    if field.name in ("size", "crop"):
        return 40 if value is None else value + 8
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.125
    if isinstance(value, tuple):
        if value and all(isinstance(v, int | float) for v in value):
            return [v + 1 if isinstance(v, int) else v / 2 for v in value]
        return ["b"]
    hint = typing.get_type_hints(type(component)).get(field.name)
    words = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else OTHER_WORDS
    for other in words:
        try:
            make(type(component), vars(component) | {field.name: other}, name)
        except Exception:
            continue
        if other != value:
            return other
    raise AssertionError(
        f"{kind} {name}: no other value of {field.name} is known; add one to OTHERS in {HERE}"
    )


SKIPPED = {"weights", "crop"}
IDLE = {"transformers": {"tower", "seconds", "length"}, "zoo": {"seconds"}}


def test_every_field_but_the_machines_is_part_of_the_key(folder):
    checked = 0
    for kind, name, component in instances(folder):
        # The networks' own tests turn every field; here those that mean something to this one.
        skipped = SKIPPED | IDLE.get(name, set()) if isinstance(component, Nodes) else set()
        before = key_of(identity(component))
        for field in dataclasses.fields(component):
            if not field.init or field.name in skipped:
                continue
            own = {f.name: getattr(component, f.name) for f in dataclasses.fields(component)}
            other = changed(kind, name, component, field, folder)
            turned = make(type(component), own | {field.name: other}, name)
            assert getattr(turned, field.name) != getattr(component, field.name), (name, field.name)
            differs = key_of(identity(turned)) != before
            assert differs != bool(field.metadata.get("machine")), (kind, name, field.name)
            checked += 1
    assert checked > 50


PLUG_IN = """
from dataclasses import dataclass
import numpy as np
from striate.data import assemble, design, row_table, target_table
from striate.interfaces import learned, with_learned

@dataclass(frozen=True)
class Average:
    scale: float = 1.0

    def fit(self, features, groups, start=None):
        blocks = [b for g in groups for b in g]
        means = [self.scale * b.values.mean(axis=0) for b in blocks]
        return with_learned(self, means_=means, tables_=[target_table(b) for b in blocks])

    def predict(self, features, rows):
        import pandas as pd
        values = np.tile(np.concatenate(self.means_), (len(rows), 1))
        return assemble(values, row_table(rows), pd.concat(self.tables_))
"""


def test_a_plug_in_in_a_file_keeps_the_contract(tmp_path):
    (tmp_path / "mine.py").write_text(PLUG_IN)
    encoder = build("encoder", {"use": "./mine.py:Average", "scale": 2}, tmp_path)
    assert encoder.scale == 2.0
    check_encoder(encoder)


BROKEN = {
    "returns itself": "object.__setattr__(self, 'means_', means); return self",
    "writes to the original": (
        "object.__setattr__(self, 'cache', 1); return with_learned(self, means_=means,"
        " tables_=[target_table(b) for b in blocks])"
    ),
    "changes fields": (
        "return with_learned(type(self)(2.0), means_=means,"
        " tables_=[target_table(b) for b in blocks])"
    ),
    "end in '_'": (
        "other = with_learned(self, means_=means, tables_=[target_table(b) for b in blocks]);"
        " object.__setattr__(other, 'means', 1); return other"
    ),
    "lacks values of fitted targets": (
        "return with_learned(self, means_=means[:1], tables_=[target_table(blocks[0])])"
    ),
    "changes the responses": (
        "blocks[0].values[0] = 0; return with_learned(self, means_=means,"
        " tables_=[target_table(b) for b in blocks])"
    ),
    "two fits": (
        "means = [m + np.random.standard_normal(m.shape) for m in means]; return"
        " with_learned(self, means_=means, tables_=[target_table(b) for b in blocks])"
    ),
    "order of training rows": (
        "means = [b.values[0] for b in blocks]; return with_learned(self, means_=means,"
        " tables_=[target_table(b) for b in blocks])"
    ),
    "not in its training rows": (
        "far = [s.values.mean() for s in features.spaces.values()];"
        " means = [m + far[0] for m in means]; return"
        " with_learned(self, means_=means, tables_=[target_table(b) for b in blocks])"
    ),
}
BROKEN_PREDICT = {
    "other rows than it was asked": "rows = rows.isel(row=slice(None, None, -1))",
    "what other rows": "self = with_learned(self, means_=[m * len(rows) for m in self.means_])",
    "follow the order of the rows": (
        "self = with_learned(self, means_=[m * int(rows.row.values[0][2:]) for m in self.means_])"
        " if len(rows) > 9 else with_learned(self, means_=[m * 54 for m in self.means_])"
    ),
}


@pytest.mark.parametrize("said", [*BROKEN, *BROKEN_PREDICT])
def test_a_broken_encoder_is_told_what_is_broken(said, tmp_path):
    lines = PLUG_IN.splitlines()
    if said in BROKEN:
        at = next(k for k, line in enumerate(lines) if "return with_learned" in line)
        lines[at] = textwrap.indent(BROKEN[said], " " * 8)
    else:
        at = next(k for k, line in enumerate(lines) if "import pandas" in line)
        lines.insert(at, textwrap.indent(BROKEN_PREDICT[said], " " * 8))
    (tmp_path / "broken.py").write_text("\n".join(lines))
    with pytest.raises(ContractError, match=said):
        check_encoder(build("encoder", "./broken.py:Average", tmp_path))


@dataclasses.dataclass(frozen=True)
class Centre:
    """A step with faults that can be switched on."""

    fault: str = ""

    def fit(self, features):
        spaces = features.spaces
        if self.fault == "not in view":
            return with_learned(self, mean_=[float(s.values.mean()) for s in spaces.values()])
        learned = {"mean_": [features[n].mean(axis=0) for n in spaces]}
        if self.fault == "cannot be stored":
            learned["odd_"] = object()
        return with_learned(self, **learned)

    def transform(self, features):
        arrays = {}
        for name, mean in zip(features.spaces, self.mean_, strict=True):
            x = features[name]
            if self.fault == "changes the features":
                x -= 1
            if self.fault == "what else is in view":
                mean = x.mean(axis=0)
            arrays[name] = (x - mean) / (0 if self.fault == "not finite" else 1)
        if self.fault == "which stimuli":
            return dataclasses.replace(features, ids=features.ids[1:])
        from striate.encoders.steps import transformed

        return transformed(features, arrays)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    "fault",
    [
        "not in view",
        "cannot be stored",
        "changes the features",
        "what else is in view",
        "not finite",
        "which stimuli",
    ],
)
def test_a_broken_step_is_told_what_is_broken(fault):
    check_step(Centre())
    with pytest.raises(ContractError, match=fault):
        check_step(Centre(fault))


@dataclasses.dataclass(frozen=True)
class Sizes:
    """An extractor of file sizes with faults that can be switched on."""

    path: str
    fault: str = ""

    def names(self):
        return ("size", "size") if self.fault == "different names" else ("size",)

    def identity(self):
        odd = {"tells a path": self.path, "no plain JSON": object()}
        return {"size": 1, "odd": odd.get(self.fault, "")}

    def __call__(self, stimuli):
        from striate.machine import here

        files = stimuli.table["file"].tolist()
        if self.fault == "order of stimuli":
            files = sorted(files)
        sizes = np.array([[float(Path(f).stat().st_size)] for f in files])
        if self.fault == "batches changes":
            sizes *= here().batch
        if self.fault == "two passes":
            sizes += np.random.default_rng().standard_normal() * 1e4
        if self.fault == "what else is extracted":
            sizes -= sizes.max()
        if self.fault == "not finite":
            sizes[0] = np.nan
        if self.fault == "of 5 rows":
            sizes = sizes[1:]
        step = here().batch
        name = "other" if self.fault == "a batch has spaces" else "size"
        for start in range(0, len(sizes), step):
            yield {name: sizes[start : start + step]}


@pytest.mark.parametrize(
    "fault",
    [
        "different names",
        "tells a path",
        "no plain JSON",
        "order of stimuli",
        "batches changes",
        "two passes|batches",
        "what else is extracted",
        "not finite",
        "of 5 rows",
        "a batch has spaces",
    ],
)
def test_a_broken_extractor_is_told_what_is_broken(fault, folder, stimuli):
    path = str(folder / "values.npy")
    check_extractor(Sizes(path), stimuli)
    with pytest.raises(ContractError, match=fault):
        check_extractor(Sizes(path, fault.partition("|")[0]), stimuli)


@dataclasses.dataclass(frozen=True)
class Made:
    """A dataset with faults that can be switched on."""

    fault: str = ""

    def stimuli(self):
        import pandas as pd

        ids = [f"s{k}" for k in range(10 if self.fault != "stimuli() lacks" else 9)]
        table = pd.DataFrame(index=ids)
        table["group"] = [f"g{k // 2}" for k in range(len(ids))]
        return Stimuli(table)

    def responses(self):
        from striate.data import label_responses

        values = np.arange(20.0).reshape(10, 2)
        if self.fault == "no measured response":
            values[:] = np.nan
        if self.fault == "second time":
            values += np.random.default_rng().standard_normal()
        subject = "other" if self.fault == "labelled as of" else "s"
        return {"s": label_responses(values, [f"s{k}" for k in range(10)], subject=subject)}

    def split(self):
        from striate.splits import Call, KFold

        if self.fault != "both sides":
            return KFold()

        class Leaks:
            def calls(self, stimuli):
                return [Call("leaks", stimuli.ids[:5], stimuli.ids[5:])]

        return Leaks()

    def official_score(self, truth, predicted):
        return {"x": {"value": np.nan if self.fault == "no finite value" else 1.0}}

    def write_submission(self, predicted, folder):
        if self.fault != "wrote no file":
            (folder / "x.txt").write_text("x")
        return folder / "x.txt"


@pytest.mark.parametrize(
    "fault",
    [
        "stimuli() lacks",
        "no measured response",
        "second time",
        "labelled as of",
        "both sides",
        "no finite value",
        "wrote no file",
    ],
)
def test_a_broken_dataset_is_told_what_is_broken(fault):
    check_dataset(Made())
    with pytest.raises(ContractError, match=fault.replace("(", r"\(").replace(")", r"\)")):
        check_dataset(Made(fault))


def test_a_broken_contract_is_an_assertion_and_a_mistake_of_the_user():
    assert issubclass(ContractError, AssertionError)
    assert set(testing.__all__) == {n for n in vars(testing) if n in testing.__all__}

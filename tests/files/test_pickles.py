"""Pickles of plain data are read, whoever wrote them; nothing else in them does anything."""

import io
import itertools
import pickle
import time
import tracemalloc
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from striate.errors import DataError, FileError
from striate.files import (
    Opaque,
    read_object_npy,
    read_pickle,
    write_object_npy,
    write_pickle,
)
from striate.files.opcodes import interpret
from striate.files.rebuild import DEEPEST, finished, kind_of
from striate.files.write_pickles import pickled

from .fuzzing import hostile_pickles, named, trial

VALUES = np.arange(24.0).reshape(4, 3, 2)


def same(a, b):
    if isinstance(b, np.ndarray) and b.dtype != object:
        return type(a) is np.ndarray and a.dtype == b.dtype and _equal(a, b)
    if isinstance(b, np.ndarray):
        return a.shape == b.shape and all(map(same, a.ravel(), b.ravel()))
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in b)
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


def _equal(a, b):
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def objects(items):
    made = np.empty(len(items), dtype=object)
    for k, item in enumerate(items):
        made[k] = item
    return made


scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
    | st.binary(max_size=20)
)  # fmt: skip
kinds = st.sampled_from(["<f4", "<f8", ">f4", "<i2", "|u1", "|b1", "<U3", "|S2", "<c8", "<i8"])
arrays = hnp.arrays(kinds.map(np.dtype), hnp.array_shapes(min_dims=0, max_side=4)).flatmap(
    lambda a: st.sampled_from([a, np.asfortranarray(a)])
)
keys = st.text(max_size=5) | st.integers(-5, 5) | st.binary(max_size=2)
values = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.lists(inner, max_size=5).map(tuple)
        | st.lists(inner, min_size=1, max_size=3).map(objects)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=values, protocol=st.integers(0, 5))
def test_plain_data_comes_back_from_every_protocol(tmp_path_factory, value, protocol):
    path = tmp_path_factory.mktemp("p") / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert same(read_pickle(path), value)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=values)
def test_what_is_written_is_read_by_python_and_by_us(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("p") / "x.pkl"
    write_pickle(path, value)
    assert same(read_pickle(path), value)
    obeyed = pickle.loads(path.read_bytes())
    assert same(_native(obeyed), _native(value))
    assert b"numpy._core" not in path.read_bytes()


def _native(value):
    """NumPy turns bytes round when it reads what was written on another machine."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.astype(value.dtype.newbyteorder("="))
    if isinstance(value, np.ndarray):
        return objects([_native(v) for v in value])
    if isinstance(value, dict):
        return {k: _native(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_native(v) for v in value)
    return value


def test_object_npy_in_both_directions(tmp_path):
    names = {0: "Unknown", 1: "V1v", 2: "V1d"}
    np.save(tmp_path / "theirs.npy", names)
    assert read_object_npy(tmp_path / "theirs.npy") == names
    ours = {"sub-01": {"s07e01a": VALUES.astype("f4")}}
    write_object_npy(tmp_path / "ours.npy", ours)
    found = np.load(tmp_path / "ours.npy", allow_pickle=True)
    assert found.shape == () and same(found.item(), ours)
    assert same(read_object_npy(tmp_path / "ours.npy"), ours)
    several = objects([VALUES, "a", None])
    np.save(tmp_path / "several.npy", several)
    assert same(read_object_npy(tmp_path / "several.npy"), several)
    np.save(tmp_path / "numbers.npy", VALUES)
    with pytest.raises(FileError, match="float64 numbers, where objects belong"):
        read_object_npy(tmp_path / "numbers.npy")


def test_an_object_npy_whose_header_lies_is_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, {"a": 1})
    lie = path.read_bytes().replace(b"'shape': ()", b"'shape': (2,)")
    path.write_bytes(lie.replace(b"  \n", b"\n", 1))
    with pytest.raises(FileError, match="no array of shape"):
        read_object_npy(path)


PYTHON_2 = (
    b"(dp0\nS'train'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\n"
    b"S'b'\np5\ntp6\nRp7\n(I1\n(L2L\nI2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\nI0\nI1\ntp11\nRp12\n"
    b"(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@\\x00\\x00@@"
    b"\\x00\\x00\\x80\\xc0'\np15\ntp16\nbsS'name'\nS'caf\\xe9'\ns."
)


def test_a_pickle_of_python_2_is_read_as_latin1(tmp_path):
    (tmp_path / "x.pkl").write_bytes(PYTHON_2)
    found = read_pickle(tmp_path / "x.pkl")
    assert found["name"] == "café"
    np.testing.assert_array_equal(found["train"], np.array([[1, 2], [3, -4]], "f4"))
    assert same(found, pickle.loads(PYTHON_2, encoding="latin1"))
    assert found["train"].flags.writeable
    binary = pickle.dumps({"x": VALUES}, 2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "x.pkl").write_bytes(binary)
    assert same(read_pickle(tmp_path / "x.pkl"), {"x": VALUES})


def test_other_plain_containers(tmp_path):
    value = {
        "ordered": OrderedDict(b=1, a=[2]), "set": {1, 2}, "frozen": frozenset(["a"]),
        "bytes": bytearray(b"ab"), "complex": 1 + 2j, "number": np.float32(2.5), "n": np.int64(3),
        "truth": np.bool_(True), "none": objects([None]),
    }  # fmt: skip
    for protocol in range(6):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
        assert same(read_pickle(tmp_path / "x.pkl"), value)
    counted = defaultdict(list, a=[1])
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(counted))
    assert read_pickle(tmp_path / "x.pkl") == {"a": [1]}
    shared = [VALUES, VALUES]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(shared))
    found = read_pickle(tmp_path / "x.pkl")
    assert found[0] is found[1]


def test_large_arrays_come_back_from_every_protocol(tmp_path):
    value = {"a": np.random.default_rng(0).random((300, 40)), "b": bytearray(100_000)}
    for protocol in range(6):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
        assert same(read_pickle(tmp_path / "x.pkl"), value)


class Image:
    """As an image of nibabel pickles itself: no arguments, and its file as state."""

    def __reduce__(self):
        return Image, (), b"content of a file"


def test_objects_of_a_shut_package_stay_shut(tmp_path):
    for protocol in range(6):
        content = pickle.dumps((VALUES, [1, 2], Image()), protocol)
        here = __name__.encode()
        told = b"nibabel.images".ljust(len(here), b"x")[: len(here)]
        assert len(told) == len(here) and told.startswith(b"nibabel.")
        (tmp_path / "x.pkl").write_bytes(content.replace(here, told))
        array, listed, image = read_pickle(tmp_path / "x.pkl")
        assert same(array, VALUES) and listed == [1, 2]
        assert isinstance(image, Opaque) and image.name == f"{told.decode()}.Image"
        assert image.state == b"content of a file" and "nibabel" in repr(image)
        with pytest.raises(FileError, match=r"asks for nibabel\."):
            read_pickle(tmp_path / "x.pkl", shut=())


def test_an_image_of_nibabel_stays_shut(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(VALUES.reshape(-1, 1, 1), np.diag([2.0, 3, 4, 1]))
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(image))
    found = read_pickle(tmp_path / "x.pkl")
    assert isinstance(found, Opaque) and found.name == "nibabel.nifti1.Nifti1Image"
    assert isinstance(found.state, bytes | dict)
    if isinstance(found.state, dict):
        np.testing.assert_array_equal(found.state["_affine"], image.affine)
        np.testing.assert_array_equal(found.state["_dataobj"], image.dataobj)


def test_no_hostile_pickle_is_obeyed(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    obeyed = b"cos\nsystem\n(X" + len(f"touch {canary}").to_bytes(4, "little")
    pickle.loads(obeyed + f"touch {canary}".encode() + b"tR.")
    assert canary.exists(), "the canary would not tell"
    canary.unlink()
    cases = [named(name, content) for name, content in hostile_pickles(canary, 50_000)]
    # Shapes are checked at every call of a test, so that less has to be too much here.
    monkeypatch.setattr("striate.files._interpreter.SLACK", 1 << 20)
    assert len(cases) > 300
    most = 2 * max(map(len, cases))
    told = trial(read_pickle, cases, tmp_path, "hostile.pkl", None, most)
    assert not canary.exists()
    harmful = {k: v for k, v in told.items() if not k.endswith(": error")}
    assert not harmful


def test_what_is_refused_says_why(tmp_path):
    path = tmp_path / "x.pkl"
    for content, told in (
        (b"cos\nsystem\n(S'ls'\ntR.", r"x\.pkl asks for os\.system, .* nothing in it was run"),
        (b"X\xff\xff\xff\xffabc.", "claims 4294967295 bytes where 4 are left"),
        (b"]" * (DEEPEST + 2) + b"a" * (DEEPEST + 1) + b".", f"more than {DEEPEST} deep"),
        (b"]q\x00h\x00a.", "holds itself"),
        (b"Pall\n.", "outside of itself"),
        (b"", "ends too early"),
        (b"\xfe", "unknown opcode"),
    ):
        path.write_bytes(content)
        with pytest.raises(FileError, match=told):
            read_pickle(path)
    with pytest.raises(FileError, match="cannot be read: No such file"):
        read_pickle(tmp_path / "none.pkl")


def test_only_plain_data_is_written(tmp_path):
    for value, told in (
        (Image(), "Image is no plain data"),
        ({1, 2}, "set is no plain data"),
        (np.zeros(2, "f4,i4"), "no plain data"),
        (1 << 3000, "2,000 bits"),
    ):
        with pytest.raises(DataError, match=told):
            write_pickle(tmp_path / "x.pkl", {"a": [value]})
    assert not (tmp_path / "x.pkl").exists()


def test_shapes_and_dtypes_are_checked_before_arrays_are_made():
    good = pickled(VALUES)
    assert same(interpret(io.BytesIO(good), len(good), "x"), VALUES)
    for old, new in ((b"\x04", b"\x05"), (b"f8", b"f4"), (b"f8", b"V8"), (b"f8", b"O8")):
        at = good.rindex(old) if len(old) == 1 else good.index(old)
        bad = good[:at] + new + good[at + len(new) :]
        if len(old) == 1:
            bad = good.replace(b"\x8a\x01\x04", b"\x8a\x01\x05")
        assert bad != good
        with pytest.raises(FileError, match=r"does not fit|misuses|records"):
            interpret(io.BytesIO(bad), len(bad), "x")
    for code in ("f3", "<f8, <f8", "", "O" * 9, "i99", "M8"):
        with pytest.raises(ValueError, match="called"):
            kind_of(code)


SHARED = b"]q\x000" + b"".join(
    bytes([*b"](h", k - 1, ord("h"), k - 1, *b"eq", k, ord("0")]) for k in range(1, 36)
)
DEEP = b"]" * 3000 + b"a" * 2999
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
DTYPE = b"cnumpy\ndtype\n"
SINGLE = DTYPE + b"X\x02\x00\x00\x00f4\x89\x88\x87R"


@pytest.mark.parametrize(
    ("made", "inner"), [(SHARED, b"h\x23"), (b"", DEEP)], ids=["shared", "deep"]
)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DTYPE, b"\x85R."),
        (SINGLE + b"(K\x03", b"NNNK\x04K\x04K\x00tb."),
        (ARRAY, SINGLE + b"\x89C\x04abcdtb."),
    ],
    ids=["kind", "order", "shape"],
)  # fmt: skip
def test_what_is_nested_without_measure_is_not_shown(tmp_path, made, inner, before, after):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02" + made + before + inner + after)
    begun = time.process_time()
    with pytest.raises(FileError, match="list"):
        read_pickle(tmp_path / "x.pkl")
    assert time.process_time() - begun < 1


def test_keys_that_share_a_hash_are_refused(tmp_path):
    alike = list(itertools.product((-1, -2), repeat=12))
    assert len(set(map(hash, alike))) == 1
    for value in (
        dict.fromkeys(alike),
        set(alike),
        dict.fromkeys(k * (2**61 - 1) for k in range(99)),
    ):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(value))
        with pytest.raises(FileError, match=r"no text or number"):
            read_pickle(tmp_path / "x.pkl")
    with pytest.raises(DataError, match="a tuple is no plain key"):
        pickled({(1, 2): 3})


def test_mentions_are_charged_and_a_list_met_often_is_walked_once(tmp_path, monkeypatch):
    labels = ["face", "house"] * 1_000
    (tmp_path / "y.pkl").write_bytes(pickle.dumps(labels))
    assert read_pickle(tmp_path / "y.pkl") == labels
    monkeypatch.setattr("striate.files._interpreter.SLACK", 1 << 20)
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02]q\x00](" + b"h\x00" * 50_000 + b"e.")
    with pytest.raises(FileError, match="small objects"):
        read_pickle(tmp_path / "x.pkl")
    often = [[]] * 20_000
    tracemalloc.start()
    finished(often, ValueError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 18

"""The few things that data in a pickle is made of, built from bytes that are counted first."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

DEEPEST = 100
"""Containers within containers; data has a handful."""
LONGEST_RECORD = 1 << 16
"""Bytes of a record; the header of a NIfTI image has 348 or 540."""
LARGEST = 10_000_000
"""Items of nested containers, each counted as often as it is met."""
SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8, 16), "c": (8, 16, 32)}
KINDS = re.compile(r"([<>|=]?)([biufcSaUOV?])(\d{0,9})")
PIECE = 1 << 20

Charge = Callable[[int], None]


class Global(NamedTuple):
    """The name of a function or class, which is never looked up."""

    module: str
    name: str


class Unbuilt:
    """What becomes an array or dtype as soon as its state is known."""

    def __init__(self, build: Callable[[Any, Charge], Any]) -> None:
        self.build = build
        self.places: list[int] = []


def kind_of(code: Any) -> np.dtype:
    """The dtype of a short code, such as `<f4`, `S12` or `O`; records are bytes without fields."""
    match = KINDS.fullmatch(code) if isinstance(code, str) else None
    if match is None:
        told = repr(code[:40]) if isinstance(code, str) else type(code).__name__
        raise ValueError(f"no kind of numbers or text is called {told}")
    order, kind, size = match[1], match[2], int(match[3] or 0)
    if kind in "?O":
        return np.dtype("?" if kind == "?" else "O")
    if kind == "b" and size == 1 and match[3]:
        return np.dtype("?")
    if kind == "V":
        if not 0 < size <= LONGEST_RECORD:
            raise ValueError(f"records of {size} bytes")
        return np.dtype(f"V{size}")
    if kind in "SaU":
        if size > 1 << 27:
            raise ValueError(f"texts of {size} letters")
        return np.dtype(f"{order}{'U' if kind == 'U' else 'S'}{size}")
    if kind in "bB" and not size:
        return np.dtype("i1")
    if size not in SIZES[kind]:
        raise ValueError(f"no kind of numbers is called {code!r}")
    return np.dtype(f"{order}{kind}{size}")


def array_of(data: Any, dtype: Any, shape: Any, fortran: Any, charge: Charge) -> np.ndarray:
    """An array of its own memory, after the bytes are found to be as many as it needs."""
    if isinstance(dtype, Unbuilt):
        dtype = dtype.build(None, charge)
    if not isinstance(dtype, np.dtype):
        raise ValueError(f"{type(dtype).__name__} where a dtype belongs")
    count = count_of(shape)
    order: Any = "F" if fortran is True or fortran == "F" else "C"
    if dtype.hasobject:
        return _objects_of(data, shape, count, order, charge)
    if not isinstance(data, (str, bytes, bytearray)):
        raise ValueError(f"{type(data).__name__} where the bytes of an array belong")
    if len(data) != count * dtype.itemsize:
        raise ValueError(
            f"{len(data)} bytes, but {dtype} of shape {shape} needs {count * dtype.itemsize}"
        )
    charge(len(data))
    filled = np.empty(len(data), dtype=np.uint8)
    for at in range(0, len(data), PIECE):
        piece = data[at : at + PIECE]
        filled[at : at + len(piece)] = np.frombuffer(
            piece.encode("latin1") if isinstance(piece, str) else piece, dtype=np.uint8
        )
    if not dtype.itemsize:
        return np.zeros(shape, dtype=dtype)
    made = filled.view(dtype).reshape(shape, order=order)
    check_content(made)
    return made


def count_of(shape: Any) -> int:
    """Number of items of a shape."""
    # What is no shape may be nested so that it cannot be shown.
    if type(shape) is not tuple or len(shape) > 32:
        raise ValueError(f"{type(shape).__name__} where a shape of up to 32 axes belongs")
    if not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise ValueError("a shape of anything but counts")
    count = math.prod(shape)
    if count >= 1 << 62 or (not count and any(n > 1 << 31 for n in shape)):
        raise ValueError(f"no shape: {shape}")
    return count


def check_content(values: np.ndarray) -> None:
    """Refuse bytes that are no truth values or letters: NumPy fails on those much later."""
    dtype = values.dtype
    if dtype.kind == "b" and values.size and values.view(np.uint8).max() > 1:
        raise ValueError("truth values other than 0 and 1")
    if dtype.kind == "U" and dtype.itemsize and values.size:
        letters = np.frombuffer(values.tobytes(), np.dtype(f"{dtype.str[0]}u4"))
        if letters.max() > 0x10FFFF:
            raise ValueError("text that is no Unicode")


def _objects_of(data: Any, shape: Any, count: int, order: Any, charge: Charge) -> np.ndarray:
    if type(data) is not list or len(data) != count:
        raise ValueError(f"objects that are not the {count} of shape {shape}")
    charge(8 * count)
    filled = np.empty(count, dtype=object)
    for at, value in enumerate(data):
        filled[at] = value
    return filled.reshape(shape, order=order)


def _reconstruct(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> Unbuilt:
    if len(arguments) != 3 or not isinstance(arguments[0], Global) or arguments[0] not in ARRAYS:
        raise ValueError("arrays of a class of their own")

    def build(state: Any, charge: Charge) -> np.ndarray:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ValueError("an array without its state")
        shape, dtype, fortran, data = state[-4:]
        return array_of(data, dtype, shape, fortran, charge)

    return Unbuilt(build)


def _dtype(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> Unbuilt:
    base = kind_of(arguments[0] if arguments else None)

    def build(state: Any, charge: Charge) -> np.dtype:
        if state is None:
            return base
        if base.kind == "V":
            # Headers of images in a pickle are records: what their fields are called is let go.
            return base
        if not isinstance(state, tuple) or len(state) < 5 or any(s is not None for s in state[2:5]):
            raise ValueError("records, where plain numbers or text belong")
        order = state[1]
        if not isinstance(order, str) or order not in ("<", ">", "|", "="):
            told = repr(order[:20]) if isinstance(order, str) else type(order).__name__
            raise ValueError(f"an unknown order of bytes, {told}")
        return base if order in "|=" else base.newbyteorder("<" if order == "<" else ">")

    return Unbuilt(build)


def _scalar(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> Any:
    dtype, data = arguments
    made = array_of(data, dtype, (), False, charge)
    if made.dtype.hasobject:
        raise ValueError("an object where a number belongs")
    return made[()]


def _frombuffer(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> np.ndarray:
    data, dtype, shape, order = arguments[:4]
    if order not in ("C", "F"):
        raise ValueError("an unknown order of axes")
    return array_of(data, dtype, shape, order, charge)


def _encode(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> bytes:
    text, encoding = arguments if len(arguments) == 2 else (*arguments, "utf-8")
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise ValueError("text in an unknown encoding")
    charge(len(text))
    return text.encode(encoding)


def _bytearray(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> bytearray:
    if not arguments:
        return bytearray()
    data = arguments[0]
    if isinstance(data, str) and arguments[1:] in (("latin-1",), ("latin1",)):
        charge(len(data))
        return bytearray(data, "latin1")
    if len(arguments) > 1 or not isinstance(data, (bytes, bytearray)):
        raise ValueError("anything but bytes")
    charge(len(data))
    return bytearray(data)


def _bytes(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> bytes:
    return bytes(_bytearray(arguments, charge, small))


def _complex(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> complex:
    real, imaginary = arguments
    if type(real) is not float or type(imaginary) is not float:
        raise ValueError("anything but two numbers")
    return complex(real, imaginary)


def _collect(kind: Callable[[Any], Any]) -> Callable[[tuple[Any, ...], Charge, Charge], Any]:
    def build(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> Any:
        items = arguments[0] if arguments else ()
        if len(arguments) > 1 or type(items) not in (list, tuple, set, frozenset):
            raise ValueError("anything but a list")
        small(100 * len(items))
        if kind in (set, frozenset) and not all(map(plain_key, items)):
            raise ValueError("items that are no text or number")
        return kind(items)

    return build


def _mapping(kind: Callable[[], Any]) -> Callable[[tuple[Any, ...], Charge, Charge], Any]:
    def build(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> Any:
        made, pairs = kind(), arguments[0] if arguments else ()
        if isinstance(pairs, dict):
            pairs = list(pairs.items())
        if len(arguments) > 1 or type(pairs) not in (list, tuple):
            raise ValueError("anything but pairs")
        small(200 * len(pairs))
        for pair in pairs:
            if type(pair) not in (list, tuple) or len(pair) != 2 or not plain_key(pair[0]):
                raise ValueError("anything but pairs")
            made[pair[0]] = pair[1]
        return made

    return build


def _counted(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> dict[Any, Any]:
    """A dict with a default: without it."""
    return {}


def _nothing(arguments: tuple[Any, ...], charge: Charge, small: Charge) -> Any:
    raise ValueError("a class where a value belongs")


ARRAYS = frozenset({Global("numpy", "ndarray"), Global("numpy", "memmap")})
BUILTINS = ("builtins", "__builtin__")
NUMPY = ("numpy.core", "numpy._core")
Builder = Callable[[tuple[Any, ...], Charge, Charge], Any]
BUILDERS: Mapping[Global, Builder] = {
    **{Global(f"{n}.multiarray", "_reconstruct"): _reconstruct for n in NUMPY},
    **{Global(f"{n}.multiarray", "scalar"): _scalar for n in NUMPY},
    **{Global(f"{n}.numeric", "_frombuffer"): _frombuffer for n in NUMPY},
    Global("numpy", "dtype"): _dtype,
    **dict.fromkeys(ARRAYS, _nothing),
    Global("_codecs", "encode"): _encode,
    Global("collections", "OrderedDict"): _mapping(OrderedDict),
    Global("collections", "defaultdict"): _counted,
    **{Global(n, "_reconstructor"): _nothing for n in ("copyreg", "copy_reg")},
    **{Global(b, "object"): _nothing for b in BUILTINS},
    **{Global(b, "bytearray"): _bytearray for b in BUILTINS},
    **{Global(b, "bytes"): _bytes for b in BUILTINS},
    **{Global(b, "complex"): _complex for b in BUILTINS},
    **{Global(b, "dict"): _mapping(dict) for b in BUILTINS},
    **{
        Global(b, kind.__name__): _collect(kind)
        for b in BUILTINS
        for kind in (list, tuple, set, frozenset)
    },
}
"""What stands for the functions that pickles of plain data name; each is ours and only builds."""


def plain_key(value: Any) -> bool:
    """Whether a value is text or a number: what is found in no time.

    Of these no more than a few share a hash. Tuples are left out: hash(-1) is hash(-2), so any
    number of tuples do.
    """
    if type(value) is int:
        return value.bit_length() <= 64
    if isinstance(value, np.generic):
        return value.dtype.kind in "biufSU" and (value.dtype.kind != "f" or value.itemsize <= 8)
    return value is None or type(value) in (str, bytes, float, bool)


def finished(value: Any, refused: type[Exception]) -> Any:
    """The value, if it is a tree of plain things that can be walked in reasonable time."""
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_: set[int] = set()
    todo: list[tuple[Any, bool]] = [(value, False)]
    while todo:
        item, back = todo.pop()
        me = id(item)
        inside = _inside(item, refused)
        if inside is None or (me in sizes and not back):
            continue
        if back:
            open_.discard(me)
            sizes[me] = 1 + sum(sizes.get(id(i), 1) for i in inside)
            depths[me] = 1 + max((depths.get(id(i), 0) for i in inside), default=0)
            if depths[me] > DEEPEST:
                raise refused(f"nests containers more than {DEEPEST} deep")
            if sizes[me] > LARGEST:
                raise refused("holds the same objects over and over")
        elif me in open_:
            raise refused("holds a container that holds itself")
        elif len(open_) >= DEEPEST:
            raise refused(f"nests containers more than {DEEPEST} deep")
        else:
            open_.add(me)
            todo.append((item, True))
            # However often a container is met, once is enough.
            todo.extend(
                ({id(i): (i, False) for i in inside if _inside(i, refused) is not None}).values()
            )
    return value


def _inside(item: Any, refused: type[Exception]) -> Any:
    """What a container holds, None of anything else; what has no place in data is refused."""
    if isinstance(item, (Unbuilt, Global)):
        raise refused("has a name where a value belongs")
    if isinstance(item, (np.ndarray, np.void)) and item.dtype.kind == "V":
        raise refused("holds records, where plain numbers or text belong")
    if isinstance(item, dict):
        return item.values()
    if isinstance(item, (list, tuple)):
        return item
    if isinstance(item, np.ndarray) and item.dtype.hasobject:
        return item.ravel().tolist()
    return None

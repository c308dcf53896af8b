"""The pickle language read as data: each opcode by hand, so that no name in a file can act."""

from __future__ import annotations

from collections.abc import Callable, Collection
from io import BufferedIOBase
from typing import Any

from striate.errors import FileError
from striate.files._interpreter import (
    BUILT,
    MEMO,
    NUMBER,
    REFERENCE,
    SMALL,
    Interpreter,
    Opaque,
    RefusedError,
)
from striate.files.rebuild import finished

__all__ = ["ACTS", "Opaque", "interpret"]


def _text(form: str, encoding: str) -> Callable[[Interpreter], None]:
    return lambda r: r.text(r.take(r.number(form)), encoding)


def _bytes(form: str, kind: Callable[[bytes], Any] = bytes) -> Callable[[Interpreter], None]:
    return lambda r: r.push(kind(r.take(r.number(form))))


ACTS: dict[bytes, tuple[Callable[[Interpreter], Any], int]] = {
    b"(": (Interpreter.mark, SMALL),
    b"0": (lambda r: r.pop() if r.stack else r.since_mark(), 8),
    b"1": (Interpreter.since_mark, 8),
    b"2": (lambda r: r.push(r.top()), 8),
    b"F": (Interpreter.decimal, NUMBER),
    b"G": (lambda r: r.push(r.number(">d")), NUMBER),
    b"I": (Interpreter.integer, NUMBER),
    b"J": (lambda r: r.push(r.number("<i")), NUMBER),
    b"K": (lambda r: r.push(r.number("<B")), 8),
    b"M": (lambda r: r.push(r.number("<H")), NUMBER),
    b"L": (lambda r: r.push(r.whole(r.line().removesuffix(b"L"))), NUMBER),
    b"\x8a": (lambda r: r.long(r.number("<B")), NUMBER),
    b"\x8b": (lambda r: r.long(r.number("<i")), NUMBER),
    b"N": (lambda r: r.push(None), 8),
    b"\x88": (lambda r: r.push(True), 8),
    b"\x89": (lambda r: r.push(False), 8),
    b"S": (Interpreter.escaped, SMALL),
    b"T": (_text("<i", "latin1"), SMALL),
    b"U": (_text("<B", "latin1"), SMALL),
    b"V": (lambda r: r.text(r.line(), "raw-unicode-escape"), SMALL),
    b"X": (_text("<I", "utf-8"), SMALL),
    b"\x8c": (_text("<B", "utf-8"), SMALL),
    b"\x8d": (_text("<Q", "utf-8"), SMALL),
    b"B": (_bytes("<I"), SMALL),
    b"C": (_bytes("<B"), SMALL),
    b"\x8e": (_bytes("<Q"), SMALL),
    b"\x96": (_bytes("<Q", bytearray), SMALL),
    b"]": (lambda r: r.push([]), SMALL),
    b"}": (lambda r: r.push({}), SMALL),
    b")": (lambda r: r.push(()), 8),
    b"\x8f": (lambda r: r.push(set()), 3 * SMALL),
    b"l": (lambda r: r.push(r.since_mark()), SMALL),
    b"t": (lambda r: r.push(tuple(r.since_mark())), SMALL),
    b"\x85": (lambda r: r.row(1), SMALL),
    b"\x86": (lambda r: r.row(2), SMALL),
    b"\x87": (lambda r: r.row(3), SMALL),
    b"d": (Interpreter.mapping, SMALL),
    b"\x91": (Interpreter.frozen, 3 * SMALL),
    b"\x90": (Interpreter.add, 8),
    b"a": (lambda r: r.extend([r.pop()]), 8),
    b"e": (lambda r: r.extend(r.since_mark()), 8),
    b"s": (Interpreter.pair, 8),
    b"u": (lambda r: r.fill(r.since_mark()), 8),
    b"p": (lambda r: r.put(r.whole(r.line())), MEMO),
    b"q": (lambda r: r.put(r.number("<B")), MEMO),
    b"r": (lambda r: r.put(r.number("<I")), MEMO),
    b"\x94": (lambda r: r.put(len(r.memo)), MEMO),
    b"g": (lambda r: r.get(r.whole(r.line())), REFERENCE),
    b"h": (lambda r: r.get(r.take(1)[0]), REFERENCE),
    b"j": (lambda r: r.get(r.number("<I")), REFERENCE),
    b"c": (lambda r: r.name(r.ascii(), r.ascii()), BUILT),
    b"\x93": (Interpreter.stacked_name, BUILT),
    b"R": (Interpreter.reduce, BUILT),
    b"\x81": (Interpreter.reduce, BUILT),
    b"\x92": (Interpreter.with_keywords, BUILT),
    b"b": (Interpreter.build, 8),
    b"i": (Interpreter.old_instance, BUILT),
    b"o": (lambda r: r.instance(r.since_mark()), BUILT),
    b"\x80": (Interpreter.protocol, 8),
    b"\x95": (Interpreter.frame, 8),
    b"P": (Interpreter.refuse, 8),
    b"Q": (Interpreter.refuse, 8),
    b"\x82": (Interpreter.refuse, 8),
    b"\x83": (Interpreter.refuse, 8),
    b"\x84": (Interpreter.refuse, 8),
    b"\x97": (Interpreter.refuse, 8),
    b"\x98": (Interpreter.refuse, 8),
}
"""What each opcode does, by its byte, and the bytes of memory that are charged for it."""


def interpret(stream: BufferedIOBase, size: int, path: object, shut: Collection[str] = ()) -> Any:
    """The value of a pickle; `FileError` when it is anything but data, or does not fit itself."""
    try:
        reader = Interpreter(stream, size, shut)
        return finished(reader.read(ACTS), RefusedError)
    except (RecursionError, MemoryError) as error:
        raise FileError(
            f"{path} is nested too deeply or too large to be read: save plain arrays, such as with"
            " np.save"
        ) from error
    except RefusedError as error:
        raise FileError(
            f"{path} {error}: nothing in it was run; copy or download the file again, and if it"
            " still is refused, save plain arrays, such as with np.save"
        ) from error

"""A stack machine that builds plain data, and knows no name that it was not taught."""

from __future__ import annotations

import codecs
import struct
import sys
from collections.abc import Callable, Collection, Mapping
from io import BufferedIOBase
from typing import Any

from striate.files.rebuild import BUILDERS, Global, Unbuilt, plain_key

SLACK = 64 << 20
"""Bytes that small objects may take beyond the size of the file."""
LONGEST_NUMBER = 64
"""Bytes of the longest integer; those of data fit in 8."""
BUILT, MEMO, NUMBER, SMALL, REFERENCE = 256, 100, 40, 80, 40
"""Bytes charged for a built object, a remembered one, a number, an empty container, a mention."""
CROWDED = "is made of more small objects than its size allows"


class Opaque:
    """An object of a class that stays shut: its `name`, `arguments`, `state` and `items`.

    Nothing of its class is imported. Of an image of nibabel, `state` is the content of its file or,
    as newer versions write it, a dict of its attributes.
    """

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name, self.arguments = name, arguments
        self.state: Any = None
        self.items: list[Any] = []

    def __repr__(self) -> str:
        return f"Opaque({self.name!r})"


class RefusedError(Exception):
    """Why a pickle is not read, to be told together with the file."""


class Interpreter:
    """Reads one pickle from a stream of which `size` bytes are left.

    `shut` names packages whose objects become `Opaque`; every other name is refused.
    """

    def __init__(self, stream: BufferedIOBase, size: int, shut: Collection[str] = ()) -> None:
        self.stream, self.size, self.left, self.shut = stream, size, size, frozenset(shut)
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.budget = size + SLACK
        self.arrays = self.copies = size + (1 << 16)

    def read(self, acts: Mapping[bytes, tuple[Callable[[Interpreter], Any], int]]) -> Any:
        """The value that the pickle describes."""
        read = self.stream.read
        while self.left:
            code = read(1)
            self.left -= 1
            if code == b".":
                return self.pop()
            if code not in acts:
                raise RefusedError(f"has an unknown opcode {code!r}")
            act, cost = acts[code]
            self.budget -= cost
            if self.budget < 0:
                raise RefusedError(CROWDED)
            act(self)
        raise RefusedError("ends too early")

    def take(self, count: int) -> bytes:
        """The next bytes; what is not there is not asked for."""
        if not 0 <= count <= self.left:
            raise RefusedError(f"claims {count} bytes where {self.left} are left")
        self.left -= count
        found = self.stream.read(count)
        if len(found) != count:
            raise RefusedError("ends too early")
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> bytes:
        found = self.stream.readline(self.left)
        self.left -= len(found)
        if not found.endswith(b"\n"):
            raise RefusedError("ends within a line")
        return found[:-1]

    def charge(self, count: int) -> None:
        """Account for memory that is no piece of the file."""
        self.budget -= count
        if self.budget < 0:
            raise RefusedError(CROWDED)

    def charge_array(self, count: int) -> None:
        """Account for an array: its bytes stand in the file, once."""
        self.charge(BUILT)
        self.arrays -= count
        if self.arrays < 0:
            raise RefusedError("describes arrays that are larger than itself")

    def charge_copy(self, count: int) -> None:
        """Account for bytes that are made of text: as many stand in the file, once."""
        self.charge(BUILT)
        self.copies -= count
        if self.copies < 0:
            raise RefusedError("describes bytes that are longer than itself")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise RefusedError("takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise RefusedError("takes from an empty stack")
        return self.stack[-1]

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        if not self.below:
            raise RefusedError("has an end without a beginning")
        items, self.stack = self.stack, self.below.pop()
        return items

    def put(self, index: int) -> None:
        value = self.top()
        if not 0 <= index <= self.size:
            raise RefusedError(f"remembers an object number {index}, more than it can hold")
        if isinstance(value, Unbuilt):
            value.places.append(index)
        self.memo[index] = value

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise RefusedError(f"refers to object {index}, which it does not hold")
        self.push(self.memo[index])

    def whole(self, text: bytes) -> int:
        if len(text) > 2 * LONGEST_NUMBER:
            raise RefusedError("holds an integer of too many digits")
        try:
            return int(text)
        except ValueError as error:
            raise RefusedError(f"has {text[:20]!r} where a number belongs") from error

    def text(self, content: bytes, encoding: str) -> None:
        try:
            found = content.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        except ValueError as error:
            raise RefusedError(f"holds text that is not {encoding}") from error
        self.charge(max(0, sys.getsizeof(found) - len(content)))
        self.push(found)

    def long(self, count: int) -> None:
        if not 0 <= count <= LONGEST_NUMBER:
            raise RefusedError(f"claims an integer of {count} bytes")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def name(self, module: Any, name: Any) -> None:
        """A name stands for itself, unless data has no need of it."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise RefusedError("has something else where a name belongs")
        found = Global(module, name)
        if found not in BUILDERS and not self.is_shut(found):
            told = f"{module[:80]}.{name[:80]}"
            told = told if told.isprintable() else ascii(told)
            raise RefusedError(f"asks for {told}, and running code from a file is not safe")
        self.push(found)

    def is_shut(self, found: Global) -> bool:
        return found.module.partition(".")[0] in self.shut

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise RefusedError("calls what is no function")
        if self.is_shut(function):
            self.push(Opaque(f"{function.module}.{function.name}", arguments))
            return
        if function.name == "_reconstructor" and arguments and isinstance(arguments[0], Global):
            self.call(arguments[0], ())
            return
        try:
            copied = function.name in ("encode", "bytes", "bytearray")
            charge = self.charge_copy if copied else self.charge_array
            made = BUILDERS[function](arguments, charge, self.charge)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise RefusedError(f"misuses {function.name}: {error}") from error
        self.push(made)

    def build(self) -> None:
        state, target = self.pop(), self.pop()
        if isinstance(target, Unbuilt):
            try:
                made = target.build(state, self.charge_array)
            except (ValueError, TypeError, LookupError, OverflowError) as error:
                raise RefusedError(f"holds an array that does not fit itself: {error}") from error
            for place in target.places:
                if self.memo.get(place) is target:
                    self.memo[place] = made
            self.push(made)
        elif isinstance(target, Opaque):
            target.state = state
            self.push(target)
        else:
            raise RefusedError("gives a state to what has none")

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        self.charge(8 * len(items))
        if type(target) is list:
            target.extend(items)
        elif isinstance(target, Opaque):
            target.items.extend(items)
        else:
            raise RefusedError("appends to what is no list")

    def fill(self, items: list[Any]) -> None:
        target = self.top()
        self.charge(MEMO * (len(items) + 1) // 2)
        if len(items) % 2:
            raise RefusedError("has a key without a value")
        if isinstance(target, Opaque):
            target.items.extend(zip(items[::2], items[1::2], strict=True))
        elif isinstance(target, dict):
            for key, value in zip(items[::2], items[1::2], strict=True):
                target[self.key(key)] = value
        else:
            raise RefusedError("sets items of what is no dict")

    def key(self, value: Any) -> Any:
        if not plain_key(value):
            raise RefusedError(f"has a key that is no text or number, but {type(value).__name__}")
        return value

    def add(self) -> None:
        items = self.since_mark()
        target = self.top()
        if type(target) is not set:
            raise RefusedError("adds to what is no set")
        self.charge(MEMO * len(items))
        target.update(map(self.key, items))

    def frozen(self) -> None:
        items = self.since_mark()
        self.charge(MEMO * len(items))
        self.push(frozenset(map(self.key, items)))

    def mapping(self) -> None:
        items = self.since_mark()
        self.push({})
        self.fill(items)

    def instance(self, arguments: list[Any]) -> None:
        """The old way of making objects, with the class first."""
        if not arguments:
            raise RefusedError("makes an object of no class")
        self.call(arguments[0], tuple(arguments[1:]))

    def row(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def escaped(self) -> None:
        found = self.line()
        if len(found) < 2 or found[:1] not in b"'\"" or found[-1:] != found[:1]:
            raise RefusedError("holds text without quotes")
        try:
            self.text(codecs.escape_decode(found[1:-1])[0], "latin1")  # type: ignore[attr-defined]
        except ValueError as error:
            raise RefusedError(f"holds text that cannot be read: {error}") from error

    def decimal(self) -> None:
        found = self.line()
        try:
            self.push(float(found[:400]))
        except ValueError as error:
            raise RefusedError(f"has {found[:20]!r} where a number belongs") from error

    def integer(self) -> None:
        found = self.line()
        truth = {b"00": False, b"01": True}.get(found)
        self.push(self.whole(found) if truth is None else truth)

    def pair(self) -> None:
        value, key = self.pop(), self.pop()
        self.fill([key, value])

    def stacked_name(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.call(function, arguments)

    def with_keywords(self) -> None:
        keywords, arguments, function = self.pop(), self.pop(), self.pop()
        if keywords != {}:
            raise RefusedError("makes an object with keywords")
        self.call(function, arguments)

    def old_instance(self) -> None:
        module, name = self.ascii(), self.ascii()
        arguments = self.since_mark()
        self.name(module, name)
        self.instance([self.pop(), *arguments])

    def ascii(self) -> str:
        return self.line().decode("latin1")

    def protocol(self) -> None:
        found = self.number("<B")
        if found > 5:
            raise RefusedError(f"is of protocol {found}, and only 0 to 5 are known")

    def frame(self) -> None:
        if self.number("<Q") > self.left:
            raise RefusedError("claims a frame beyond its end")

    def refuse(self) -> None:
        raise RefusedError("refers to objects outside of itself")

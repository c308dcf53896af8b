"""A bounded memory of what was decoded: the latest stay, and what two ask for is made once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Keeps values up to so many bytes and forgets those that were not asked for the longest.

    Safe for threads; a forked process begins with an empty one of its own.

    Parameters
    ----------
    limit
        Bytes.
    size
        Bytes of one value; default its ``nbytes``.

    """

    def __init__(self, limit: int, size: Callable[[T], int] | None = None) -> None:
        self.limit = limit
        self.size: Callable[[Any], int] = size or (lambda value: int(value.nbytes))
        self._clear()

    def _clear(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._making: dict[Hashable, threading.Event] = {}
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under the key, made where it is not remembered; errors are not remembered."""
        if self._process != os.getpid():  # locks of the parent may be held for ever
            self._clear()
        while True:
            with self._lock:
                if key in self._values:
                    self._values.move_to_end(key)
                    return self._values[key]
                other = self._making.get(key)
                if other is None:
                    self._making[key] = done = threading.Event()
                    break
            other.wait()
        try:
            value = make()
            self._keep(key, value)
            return value
        finally:
            with self._lock:
                del self._making[key]
            done.set()

    def _keep(self, key: Hashable, value: T) -> None:
        size = self.size(value)
        if size > self.limit:
            return
        with self._lock:
            self._values[key] = value
            self.bytes += size
            while self.bytes > self.limit:
                self.bytes -= self.size(self._values.popitem(last=False)[1])

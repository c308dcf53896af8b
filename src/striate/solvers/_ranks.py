"""Ranks and discordant pairs of long vectors in compiled loops: sort packed keys, count by bits."""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int, UInt

from striate.solvers._compiled import compiled


class Order(NamedTuple):
    """A vector in ascending order, its ties known.

    `items` are the places of the values in ascending order; `slot` says for every value where its
    run of equal values begins in that order; `ties` counts the pairs of equal values.
    """

    items: UInt[np.ndarray, " pair"]
    slot: UInt[np.ndarray, " pair"]
    ties: int


def order(row: Float[np.ndarray, " pair"]) -> Order:
    """Return the order of a vector without NaN."""
    keys, bits = _sorted_keys(row)
    items, slot = np.empty(row.size, np.uint32), np.empty(row.size, np.uint32)
    return Order(items, slot, int(_unpack(keys, row, bits, items, slot)))


def centred_ranks(row: Float[np.ndarray, " pair"], out: Int[np.ndarray, " pair"]) -> None:
    """Write twice the ranks minus their mean, ties given their average: whole numbers."""
    keys, bits = _sorted_keys(row)
    _average(keys, row, bits, np.empty(row.size, np.uint32), out)


def _sorted_keys(row: Float[np.ndarray, " pair"]) -> tuple[UInt[np.ndarray, " pair"], int]:
    """Return ascending keys of value and place, and the bits of the place."""
    n = row.size
    bits = max(1, int(n - 1).bit_length())
    low, high = float(row.min()), float(row.max())
    with np.errstate(over="ignore", divide="ignore"):
        scale = np.float64(2.0 ** (63 - bits)) / (high - low) if high > low else np.float64(0.0)
    # a key holds what fits of the value and, below it, the place: NumPy sorts plain integers
    # several times faster than it sorts places
    keys = np.empty(n, np.uint64)
    if np.isfinite(scale) and np.isfinite(high - low):
        _pack(row, low, scale, bits, keys)
    else:  # a range too wide or too narrow for numbers: one key for all
        keys[:] = np.arange(n)
    keys.sort()
    return keys, bits


def agreement(a: Order, b: Order) -> int:
    """Return the concordant minus the discordant pairs of values of two vectors."""
    n = a.items.size
    sequence, other = np.empty(n, np.uint32), np.empty(n, np.uint32)
    both = _in_order(a.slot, b.items, b.slot, a.ties > 0, b.ties > 0, sequence, other)
    return n * (n - 1) // 2 - a.ties - b.ties + both - 2 * int(_inversions(sequence, other))


@compiled
@no_type_check
def _pack(row, low, scale, bits, keys):
    for i in range(row.size):
        keys[i] = (np.uint64((row[i] - low) * scale) << np.uint64(bits)) | np.uint64(i)


@compiled
@no_type_check
def _unpack(keys, row, bits, items, slot):
    """Fill in places and slots, and return the pairs of equal values."""
    n, shift, ties = keys.size, np.uint64(bits), 0
    mask = (np.uint64(1) << shift) - np.uint64(1)
    start = 0
    while start < n:
        head = keys[start] >> shift
        items[start] = keys[start] & mask
        stop = start + 1
        while stop < n and keys[stop] >> shift == head:
            items[stop] = keys[stop] & mask
            stop += 1
        if stop - start == 1:
            slot[items[start]] = start
        else:  # the keys were too coarse, or the values are equal: the values decide
            _sort_run(row, items, start, stop)
            ties += _slots(row, items, start, stop, slot)
        start = stop
    return ties


@compiled
@no_type_check
def _sort_run(row, items, start, stop):
    sorted_already = True
    for i in range(start + 1, stop):
        if row[items[i]] < row[items[i - 1]]:
            sorted_already = False
            break
    if sorted_already:
        return
    if stop - start > 32:
        run = items[start:stop].copy()
        values = np.empty(run.size, row.dtype)
        for i in range(run.size):
            values[i] = row[run[i]]
        places = np.argsort(values, kind="mergesort")
        for i in range(run.size):
            items[start + i] = run[places[i]]
        return
    for i in range(start + 1, stop):
        item = items[i]
        j = i - 1
        while j >= start and row[items[j]] > row[item]:
            items[j + 1] = items[j]
            j -= 1
        items[j + 1] = item


@compiled
@no_type_check
def _slots(row, items, start, stop, slot):
    ties, last = 0, row[items[start]]
    for i in range(start, stop):
        value = row[items[i]]
        if value != last:
            ties += (i - start) * (i - start - 1) // 2
            start = i
            last = value
        slot[items[i]] = start
    return ties + (stop - start) * (stop - start - 1) // 2


@compiled
@no_type_check
def _average(keys, row, bits, items, ranks):
    """Fill in twice the centred ranks; `items` is room to sort in."""
    n, shift = keys.size, np.uint64(bits)
    mask = (np.uint64(1) << shift) - np.uint64(1)
    start = 0
    while start < n:
        head = keys[start] >> shift
        stop = start + 1
        while stop < n and keys[stop] >> shift == head:
            stop += 1
        if stop - start == 1:
            ranks[keys[start] & mask] = 2 * start + 1 - n
            start = stop
            continue
        for i in range(start, stop):
            items[i] = keys[i] & mask
        _sort_run(row, items, start, stop)
        while start < stop:
            last = start + 1
            while last < stop and row[items[last]] == row[items[start]]:
                last += 1
            for i in range(start, last):
                ranks[items[i]] = start + last - n
            start = last


@compiled
@no_type_check
def _in_order(slot_a, items_b, slot_b, ties_a, ties_b, sequence, work):
    """Write the order of b's values, taken in a's order, and return the pairs tied in both.

    Equal values of a are taken in the order of b, and equal values of b numbered as they come, so
    that no tied pair is out of order in the sequence.
    """
    n = items_b.size
    if not ties_a and not ties_b:
        for k in range(n):
            sequence[slot_a[items_b[k]]] = k
        return 0
    work[:] = 0
    for k in range(n):
        item = items_b[k]
        start = slot_a[item]
        sequence[start + work[start]] = slot_b[item]
        work[start] += 1
    both = 0
    if ties_a and ties_b:
        start = 0
        while start < n:
            stop = start + work[start]
            run = 1
            for k in range(start + 1, stop):
                if sequence[k] == sequence[k - 1]:
                    both += run
                    run += 1
                else:
                    run = 1
            start = stop
    if ties_b:
        work[:] = 0
        for k in range(n):
            start = sequence[k]
            sequence[k] = start + work[start]
            work[start] += 1
    return both


@compiled
@no_type_check
def _inversions(sequence, other):
    """Count i < j with sequence[i] > sequence[j] of a permutation, which is destroyed.

    From the highest bit down, values are parted stably by their bit; each that has a 0 passes the
    values with a 1 that came before it. A part is a range of places, because it is one of values.
    Places are unsigned: a compiled index that may be negative takes twice the time.
    """
    one, n = np.uint64(1), np.uint64(sequence.size)
    total, bit = np.uint64(0), np.uint64(0)
    while (n - one) >> bit:
        bit += one
    while bit > np.uint64(4):
        bit -= one
        half = one << bit
        for low in range(np.uint64(0), n, half + half):
            zeros, ones, middle = low, np.uint64(0), low + half
            for i in range(low, min(middle + half, n)):
                value = sequence[i]
                set_bit = (np.uint64(value) >> bit) & one
                total += ones * (one - set_bit)
                other[middle + ones if set_bit else zeros] = value
                ones += set_bit
                zeros += one - set_bit
        sequence, other = other, sequence
    for low in range(np.uint64(0), n, one << bit):
        high = min(low + (one << bit), n)
        for i in range(low, high):
            value, passed = sequence[i], np.uint32(0)
            for j in range(i + one, high):
                passed += np.uint32(sequence[j] < value)
            total += np.uint64(passed)
    return total

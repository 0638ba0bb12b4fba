"""Damage to the bytes of a file of any kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]


def empty(data: bytes, rng: np.random.Generator) -> bytes:
    return b''


def cut_off(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, int(len(data) * 0.9)))]


def only_the_first_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(1, 40))]


def without_its_first_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    return data[int(rng.integers(1, 64)) :]


def an_error_page(data: bytes, rng: np.random.Generator) -> bytes:
    return b'<!DOCTYPE html><html><body>404 Not Found</body></html>' * int(rng.integers(1, 100))


def random_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.integers(1, 5000)))


def zeros(data: bytes, rng: np.random.Generator) -> bytes:
    return bytes(len(data))


def flipped_bits_in_front(data: bytes, rng: np.random.Generator) -> bytes:
    return _flipped(data, rng, min(len(data), 200))


def flipped_bits(data: bytes, rng: np.random.Generator) -> bytes:
    return _flipped(data, rng, len(data))


def a_block_of_zeros(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    length = min(len(data) - start, int(rng.integers(1, 512)))
    return data[:start] + bytes(length) + data[start + length :]


def a_block_twice(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    return data[: start + int(rng.integers(1, 512))] + data[start:]


def _flipped(data: bytes, rng: np.random.Generator, end: int) -> bytes:
    damaged = bytearray(data)
    for place in rng.integers(end, size=int(rng.integers(1, 12))):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


SURE: Mapping[str, Damage] = {
    function.__name__.replace('_', ' '): function
    for function in (
        empty,
        cut_off,
        only_the_first_bytes,
        without_its_first_bytes,
        an_error_page,
        random_bytes,
        zeros,
    )
}
"""What leaves no file of the kind."""

UNSURE: Mapping[str, Damage] = {
    function.__name__.replace('_', ' '): function
    for function in (flipped_bits_in_front, flipped_bits, a_block_of_zeros, a_block_twice)
}
"""What may hit bytes that decide nothing."""

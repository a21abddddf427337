"""TensorFlow's stateless random numbers in NumPy, bit by bit: Philox-4x32-10 (Salmon et al., 2011).

Views of the data and the order of examples follow from these numbers. With the same ones, a run
sees the same batches under every backend, and a recorded teacher serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Seed = Sequence[int] | np.ndarray  # two integers

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_INCREMENTS = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_SCRAMBLING_KEY = 0x3EC8F720, 0x02461E29  # of the seeds


def bits(count: int, seed: Seed) -> np.ndarray:
    """Returns random bits, uint32 `[count]`.

    Args:
        count: How many.
        seed: Two integers.
    """
    return _blocks(np.arange(-(-count // 4)), seed).reshape(-1)[:count]


def _blocks(numbers: np.ndarray, seed: Seed) -> np.ndarray:
    """Returns the bits of a generator at its calls of these numbers, uint32 `[numbers, 4]`."""
    words = [int(value) % 2**64 for value in seed]
    mixed = _philox(
        np.array([part for word in words for part in (word % 2**32, word >> 32)], np.uint64)[
            :, None
        ],
        _SCRAMBLING_KEY,
    )[:, 0]
    counters = np.empty((4, len(numbers)), np.uint64)
    counters[0], counters[1] = numbers, 0
    counters[2], counters[3] = mixed[2], mixed[3]
    return _philox(counters, (int(mixed[0]), int(mixed[1]))).T


def split(seed: Seed, count: int) -> np.ndarray:
    """Returns new seeds as `tf.random.split` does, int32 `[count, 2]`."""
    return bits(2 * count, seed).view(np.int32).reshape(count, 2)


def integers(count: int, seed: Seed, bound: int) -> np.ndarray:
    """Returns integers below a bound as `stateless_uniform` does, int32 `[count]`."""
    return (bits(count, seed) % np.uint32(bound)).astype(np.int32)


def uniform(shape: Sequence[int], seed: Seed, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Returns float32 in `[low, high)` as `stateless_uniform` does.

    Args:
        shape: The shape of the result.
        seed: Two integers.
        low: The smallest number.
        high: The bound of the numbers.
    """
    mantissa = bits(int(np.prod(shape)), seed) & np.uint32(0x7FFFFF)
    unit = (mantissa | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)
    lowest = np.float32(low)
    return (unit * (np.float32(high) - lowest) + lowest).reshape(shape)


def permutation(count: int, seed: Seed) -> np.ndarray:
    """Returns the order in which `stateless_shuffle` puts examples, int32 `[count]`."""
    # The swaps of Fisher and Yates: the position i with one of those from i on.
    left = np.arange(count, 1, -1, dtype=np.uint32)
    others = (np.arange(len(left)) + bits(len(left), seed) % left).tolist()
    order = list(range(count))
    for position, other in enumerate(others):
        order[position], order[other] = order[other], order[position]
    return np.array(order, np.int32)


def gamma(count: int, seed: Seed, alpha: float) -> np.ndarray:
    """Returns Gamma variates as `stateless_gamma` does, float32 `[count]`.

    Args:
        count: How many.
        seed: Two integers.
        alpha: The shape, at least one.
    """
    # Marsaglia and Tsang, 2000, "A simple method for generating gamma variables": each variate has
    # 256 calls of the generator of its own, as it may need several attempts.
    d = float(np.float32(alpha)) - 1 / 3
    found, left = np.empty(count), np.arange(count)
    calls = np.zeros(count, np.int64)
    normals, uniforms = np.empty((count, 2)), np.empty((count, 2))
    used = {"normal": np.full(count, 2), "uniform": np.full(count, 2)}

    def following(kind: str, drawn: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Returns the next number of each row; the generator gives two at a time, last first."""
        empty = rows[used[kind][rows] == 2]
        blocks = _blocks(256 * empty + calls[empty], seed)
        drawn[empty] = _normals(blocks) if kind == "normal" else _uniforms(blocks)
        calls[empty] += 1
        used[kind][empty] = 0
        used[kind][rows] += 1
        return drawn[rows, 2 - used[kind][rows]]

    while len(left):
        x = following("normal", normals, left)
        v = (1 + x / 3 / np.sqrt(d)) ** 3
        positive = v > 0
        rows, x, v = left[positive], x[positive], v[positive]
        u = following("uniform", uniforms, rows)
        taken = np.log(u) < 0.5 * x**2 + d * (1 - v + np.log(v))
        found[rows[taken]] = (d * v)[taken]
        left = np.sort(np.concatenate([left[~positive], rows[~taken]]))
    return np.maximum(found.astype(np.float32), np.finfo(np.float32).tiny)


def _uniforms(blocks: np.ndarray) -> np.ndarray:
    """Returns float64 `[calls, 2]` in `[0, 1)` from random bits `[calls, 4]`."""
    pairs = blocks.reshape(-1, 2, 2).astype(np.uint64)
    mantissa = (pairs[..., 0] & np.uint64(0xFFFFF)) << _32 | pairs[..., 1]
    return (mantissa | np.uint64(1023 << 52)).view(np.float64) - 1.0


def _normals(blocks: np.ndarray) -> np.ndarray:
    """Returns normal variates, float64 `[calls, 2]`, by the method of Box and Muller."""
    first, second = _uniforms(blocks).T
    radius = np.sqrt(-2 * np.log(np.maximum(first, 1e-7)))
    angle = 2 * np.pi * second
    return np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=1)


def _philox(counters: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Returns the random words of counters, both `[4, blocks]`; uint32 from uint64."""
    first, second, third, fourth = counters
    for number in range(_ROUNDS):
        low, high = ((key[i] + number * _INCREMENTS[i]) % 2**32 for i in range(2))
        one, other = first * _MULTIPLIERS[0], third * _MULTIPLIERS[1]
        first, third = (
            (other >> _32) ^ second ^ np.uint64(low),
            (one >> _32) ^ fourth ^ np.uint64(high),
        )
        second, fourth = other & _LOW, one & _LOW
    return np.stack([first, second, third, fourth]).astype(np.uint32)

"""SHA512, and FARM_FINGERPRINT: FarmHash's Fingerprint64, https://github.com/google/farmhash."""

import hashlib
from typing import Any

from convergence_assets.warehouse.duckdb.generator.string_functions_in_python import bytes_of

_INT64_BITS = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def sha512(value: str | bytes) -> bytes:
    return hashlib.sha512(bytes_of(value)).digest()


def _rotated(value: int, by: int) -> int:
    value &= _INT64_BITS
    return (value >> by | value << (64 - by)) & _INT64_BITS


def _mixed(value: int) -> int:
    value &= _INT64_BITS
    return value ^ value >> 47


def _joined(one: int, other: int, by: int) -> int:
    a = _mixed((one ^ other) * by)
    return _mixed((other ^ a) * by) * by & _INT64_BITS


def fingerprint(value: str | bytes) -> int:
    """FARM_FINGERPRINT."""
    unsigned = _fingerprint(bytes_of(value)) & _INT64_BITS
    return unsigned - (1 << 64) if unsigned >> 63 else unsigned


def _fingerprint(raw: bytes) -> int:
    size = len(raw)

    def word(at: int) -> int:
        return int.from_bytes(raw[at : at + 8], "little")

    by = (_K2 + 2 * size) & _INT64_BITS
    if size < 8:
        if size >= 4:
            first, last = (int.from_bytes(raw[at : at + 4], "little") for at in (0, size - 4))
            return _joined(size + (first << 3), last, by)
        if not size:
            return _K2
        return _mixed((raw[0] + (raw[size >> 1] << 8)) * _K2 ^ (size + (raw[-1] << 2)) * _K0) * _K2
    if size <= 16:
        a, b = word(0) + _K2, word(size - 8)
        return _joined((_rotated(b, 37) * by + a) & _INT64_BITS, (_rotated(a, 25) + b) * by & _INT64_BITS, by)
    if size <= 64:
        a = word(0) * (_K1 if size <= 32 else _K2)
        b, c, d = word(8), word(size - 8) * by, word(size - 16) * _K2
        y = (_rotated(a + b, 43) + _rotated(c, 30) + d) & _INT64_BITS
        z = (a + _rotated(b + _K2, 18) + c) & _INT64_BITS
        if size <= 32:
            return _joined(y, z, by)
        z = _joined(y, z, by)
        e, f = word(16) * by, word(24)
        g, h = (y + word(size - 32)) * by, (z + word(size - 24)) * by
        return _joined(
            (_rotated(e + f, 43) + _rotated(g, 30) + h) & _INT64_BITS, (e + _rotated(f + a, 18) + g) & _INT64_BITS, by
        )
    return _long_fingerprint(raw, word)


def _long_fingerprint(raw: bytes, word: Any) -> int:
    def weak(at: int, a: int, b: int) -> tuple[int, int]:
        w, x, y, z = (word(at + 8 * i) for i in range(4))
        a += w
        b = _rotated(b + a + z, 21)
        c = a
        a += x + y
        return (a + z) & _INT64_BITS, (b + _rotated(a, 44) + c) & _INT64_BITS

    seed = 81
    x, y = seed, (seed * _K1 + 113) & _INT64_BITS
    z = _mixed(y * _K2 + 113) * _K2 & _INT64_BITS
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + word(0)) & _INT64_BITS
    end = (len(raw) - 1) // 64 * 64

    def step(at: int, by: int, nine: int) -> None:
        nonlocal x, y, z, v, w
        x = _rotated(x + y + v[0] + word(at + 8), 37) * by & _INT64_BITS
        y = _rotated(y + v[1] + word(at + 48), 42) * by & _INT64_BITS
        x ^= w[1] * nine & _INT64_BITS
        y = (y + v[0] * nine + word(at + 40)) & _INT64_BITS
        z = _rotated(z + w[0], 33) * by & _INT64_BITS
        v = weak(at, v[1] * by, x + w[0])
        w = weak(at + 32, z + w[1], y + word(at + 16))
        z, x = x, z

    for at in range(0, end, 64):
        step(at, _K1, 1)
    by = (_K1 + ((z & 0xFF) << 1)) & _INT64_BITS
    left_over = (len(raw) - 1) & 63
    w = ((w[0] + left_over) & _INT64_BITS, w[1])
    v = ((v[0] + w[0]) & _INT64_BITS, v[1])
    w = ((w[0] + v[0]) & _INT64_BITS, w[1])
    step(len(raw) - 64, by, 9)
    return _joined(
        (_joined(v[0], w[0], by) + _mixed(y) * _K0 + z) & _INT64_BITS, (_joined(v[1], w[1], by) + x) & _INT64_BITS, by
    )

"""Texts of FLOAT64 values as BigQuery prints them."""

import math
import struct

_STEP, _SMALLEST = 8, -300


def round_trip(value: float) -> str:
    """As CAST prints: 15 digits, or 17 where 15 do not give the value back."""
    if math.isnan(value) or math.isinf(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    short = f"{value:.15g}"
    return short if float(short) == value else f"{value:.17g}"


def of_json(value: float) -> str:
    """As a JSON value prints: digits by Grisu2 (https://www.cs.tufts.edu/~nr/cs257/archive/florian-loitsch/printf.pdf,
    figure 6), which gives the shortest digits but for one value in some hundred, always with a point or exponent."""
    sign = "-" if math.copysign(1, value) < 0 else ""
    if value == 0:
        return f"{sign}0.0"
    digits, exponent = _grisu2(abs(value))
    count = len(digits)
    point = count + exponent
    if count <= point <= 15:
        return f"{sign}{digits}{'0' * (point - count)}.0"
    if 0 < point <= 15:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -4 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    mantissa = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{mantissa}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"


def _cached_power(binary_exponent: int) -> tuple[int, int, int]:
    """10^k as 64 bits and a binary exponent, for the k that brings a value of `binary_exponent` into range."""
    target_exponent = -60 - binary_exponent - 1
    k = int(target_exponent * 78913 / (1 << 18)) + (target_exponent > 0)
    k = _SMALLEST + int((-_SMALLEST + k + _STEP - 1) / _STEP) * _STEP
    if k not in _POWERS:
        _POWERS[k] = _power_of_ten(k)
    return (*_POWERS[k], k)


def _power_of_ten(k: int) -> tuple[int, int]:
    dividend, divisor = (10**k, 1) if k >= 0 else (1, 10**-k)
    exponent = dividend.bit_length() - divisor.bit_length() - 64
    while True:
        scaled, by = (dividend, divisor << exponent) if exponent >= 0 else (dividend << -exponent, divisor)
        power = (2 * scaled + by) // (2 * by)
        if power < 1 << 63:
            exponent -= 1
        elif power >= 1 << 64:
            exponent += 1
        else:
            return power, exponent


_POWERS: dict[int, tuple[int, int]] = {}


def _grisu2(value: float) -> tuple[str, int]:
    """Digits and the power of ten of the last one."""
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    fraction, biased = bits & ((1 << 52) - 1), bits >> 52
    mantissa, exponent = (fraction, -1074) if biased == 0 else (fraction + (1 << 52), biased - 1075)
    upper, upper_exponent = 2 * mantissa + 1, exponent - 1
    lower, lower_exponent = (
        (4 * mantissa - 1, exponent - 2) if fraction == 0 and biased > 1 else (2 * mantissa - 1, exponent - 1)
    )
    shift = 64 - upper.bit_length()
    upper, upper_exponent = upper << shift, upper_exponent - shift
    lower <<= lower_exponent - upper_exponent
    middle = mantissa << (64 - mantissa.bit_length())
    power, power_exponent, k = _cached_power(upper_exponent)
    middle, lower, upper = ((of * power + (1 << 63)) >> 64 for of in (middle, lower, upper))
    return _digits(lower + 1, middle, upper - 1, -(upper_exponent + power_exponent + 64), -k)


def _digits(lower: int, middle: int, upper: int, shift: int, exponent: int) -> tuple[str, int]:
    delta, distance = upper - lower, upper - middle
    one = 1 << shift
    whole, rest = upper >> shift, upper & (one - 1)
    digits: list[int] = []
    left = len(str(whole))
    while left:
        left -= 1
        digit, whole = divmod(whole, 10**left)
        digits.append(digit)
        remainder = (whole << shift) + rest
        if remainder <= delta:
            return _rounded(digits, distance, delta, remainder, 10**left << shift), exponent + left
    while True:
        rest, delta, distance = 10 * rest, 10 * delta, 10 * distance
        digits.append(rest >> shift)
        rest &= one - 1
        exponent -= 1
        if rest <= delta:
            return _rounded(digits, distance, delta, rest, one), exponent


def _rounded(digits: list[int], distance: int, delta: int, rest: int, unit: int) -> str:
    while (
        rest < distance
        and delta - rest >= unit
        and (rest + unit < distance or distance - rest > rest + unit - distance)
    ):
        digits[-1] -= 1
        rest += unit
    return "".join(map(str, digits))

"""Code points, normal forms, UTF-8, base 32 and 64, and numbers in hexadecimal digits."""

import base64
import codecs
import re
import unicodedata
from collections.abc import Sequence

from convergence_assets.warehouse.duckdb.generator.raising import refusal

# Each byte that is part of no character becomes one U+FFFD; Python's own handler makes one of several.
codecs.register_error("convergence_each_byte", lambda error: ("\ufffd", error.start + 1))  # type: ignore[attr-defined]


def text_of_codes(codes: Sequence[int | None]) -> str | None:
    if None in codes:
        return None
    for code in codes:
        assert code is not None
        if not 0 <= code <= 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError(f"Invalid codepoint {code}")
    return "".join(chr(code) for code in codes if code is not None)


def bytes_of_codes(codes: Sequence[int | None]) -> bytes | None:
    if None in codes:
        return None
    for code in codes:
        assert code is not None
        if not 0 <= code <= 0xFF:
            raise ValueError(f"Invalid extended ASCII code point {code}")
    return bytes(code for code in codes if code is not None)


def character(code: int) -> str:
    """CHR."""
    return text_of_codes([code]) or ""


def codes_of(value: str | bytes) -> list[int]:
    return list(value) if isinstance(value, bytes) else list(map(ord, value))


def normalised(value: str, form: str) -> str:
    return unicodedata.normalize(form, value)  # type: ignore[arg-type]


def normalised_and_folded(value: str, form: str) -> str:
    folded = unicodedata.normalize(form, value).casefold()  # type: ignore[arg-type]
    return unicodedata.normalize(form, folded)  # type: ignore[arg-type]


def text_of_bytes(value: bytes) -> str:
    """SAFE_CONVERT_BYTES_TO_STRING."""
    return value.decode(errors="convergence_each_byte")


def strict_text(value: bytes) -> str:
    """CAST of BYTES AS STRING."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError("Invalid cast of bytes to UTF8 string") from None


_HEXADECIMAL = re.compile(r"\s*[+-]?0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?[0-9]+)?\s*", re.A)


def int64_of_hex(value: str) -> str:
    """A hexadecimal number in decimal digits; a text that no cast takes for what is none."""
    match = re.fullmatch(r" *([+-]?)0[xX]([0-9a-fA-F]+)\s*", value, re.ASCII)
    return f"{match[1]}{int(match[2], 16)}" if match else refusal(f"not a text of INT64: {value}")


def double_of_text(value: str) -> str:
    """What CAST AS FLOAT64 reads beside decimal numbers."""
    if not _HEXADECIMAL.fullmatch(value):
        raise ValueError(f"Bad double value: {value[:100]}")
    return repr(float.fromhex(value.strip()))


def to_base32(value: bytes) -> str:
    return base64.b32encode(value).decode()


def from_base32(value: str) -> bytes:
    try:
        return base64.b32decode(value.encode())
    except ValueError:
        raise ValueError("Failed to decode invalid base32 string") from None


def from_base64(value: str) -> bytes:
    plain = re.sub(r"[ \t\n\v\f\r]", "", value)
    bare = plain.rstrip("=")
    if (
        not re.fullmatch(r"[A-Za-z0-9+/]*", bare)
        or len(bare) % 4 == 1
        or (len(plain) != len(bare) and len(plain) % 4)
        or len(plain) - len(bare) > 2
    ):
        raise ValueError("Failed to decode invalid base64 string")
    return base64.b64decode(bare + "=" * (-len(bare) % 4))

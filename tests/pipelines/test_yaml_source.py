"""YAML to values with lines: scalars by YAML 1.2, and damage that is said at the line to correct."""

import pytest

from convergence_assets.pipelines.yaml_source import read_yaml

SCALARS = [
    ("NO", "NO"), ("on", "on"), ("yes", "yes"), ("1:30", "1:30"), ("0x1F", "0x1F"), ("1_000", "1_000"),
    ("12", 12), ("-3.5", -3.5), ("1e3", 1000.0), ("true", True), ("~", None), ('"12"', "12"), ("2026-02-30", "2026-02-30"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "value"), SCALARS)
def test_a_plain_scalar_means_what_yaml_1_2_says(written: str, value: object) -> None:
    assert read_yaml("f", f"a: {written}\n".encode()).data == {"a": value}


def test_keys_know_their_lines() -> None:
    source = read_yaml("f", b"a:\n  - b: 1\n    c: |\n      x\n      y\nd: 2\n")
    assert [source.line(p) for p in (("a", 0, "c"), ("a", 0, "nothing"), ("d",))] == [3, 2, 6]
    assert source.end(("a",)) == 5
    assert source.written(("a", 0, "c"), "x\ny\n") == (4, "      x\n      y")


DAMAGE = [
    # text, the line that is wrong, what is said
    (b"\xff\xfea: 1\n", 1, "not UTF-8"),
    (b"a: 1\nb: \xe4\n", 2, "not UTF-8"),
    (b"", 1, "empty"),
    (b"# nothing\n", 1, "empty"),
    (b"- a\n", 1, "not a mapping"),
    (b"a: 1\nb: 2\na: 3\n", 3, "key given twice (first in line 1)"),
    (b"a: 1\nb:\n\tc: 2\n", 3, "not YAML"),
    (b"a: 1\nb: \x07\n", 2, "not YAML"),
    (b"a: &x [1]\nb: *x\n", 2, "anchors and aliases"),
    (b"a: &x 1\nb: *x\n", 2, "anchors and aliases"),
    (b"a: *x\n", 1, "not YAML"),
    (b"a: 1\nb: !secret x\n", 2, "tag !secret is not known"),
    (b"? [a]\n: 1\n", 1, "a key is not text"),
    (b"a:\n" + b"  - " * 1 + b"[" * 100_000, 2, "nested too deeply"),
    (b"a: " + b"[" * 40 + b"]" * 40, 1, "nested too deeply"),
    (b"\n".join(b" " * i + b"a:" for i in range(1000)), 31, "nested too deeply"),
    (b"- " * 50_000 + b"x", 1, "nested too deeply"),
    (b"a: " + b"x" * 2_000_000, 1, "the file has 2000 kB"),
    (b'a: 1\nb: "x\nc: 3\nd: 4\n', 2, "not YAML"),
    (b"a: 1\nb: [x, y\nc: 3\nd: 4\n", 2, "not YAML"),
    (b"a: 1\nb: {x: y\nc: 3\nd: 4\n", 2, "not YAML"),
    (b"a:\n  - b: 1\n  c: 2\n", 3, "not YAML"),
    (b"a:\n  b\n  # note\n    c: 2\n", 2, "not YAML"),
    (b"a:\n    b: 1\n    c: 2\n  - d: 3\n", 2, "not YAML"),
    (b"a: 1\nb 2\nc: 3\n", 2, "not YAML"),
]


@pytest.mark.parametrize(("raw", "line", "expected"), DAMAGE, ids=[f"{i}-{d[2]}" for i, d in enumerate(DAMAGE)])
def test_damage_is_said_at_its_line(raw: bytes, line: int, expected: str) -> None:
    source = read_yaml("f", raw)
    assert source.data is None
    assert any(expected in p.message and p.line == line for p in source.problems), source.problems


def test_a_byte_order_mark_is_no_damage() -> None:
    assert read_yaml("f", "\ufeffa: 1\n".encode()).data == {"a": 1}

"""The secrets of this process, found in whatever form they are written."""

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 8
"""Anything shorter occurs in ordinary words; it is hidden where its place marks it as a secret."""
COMMON = frozenset({"localhost", "postgres", "password", "production", "development", "anonymous", "convergence"})
"""Long enough, but in every log: hiding them would hide everything."""
_LONGEST_SHOWN_LINE = 16

_NAMED_SO = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|(?:ACCESS|ADMIN|PRIVATE|ROUTING)_?KEY|WEBHOOK", re.IGNORECASE
)
_NAMED_OTHERWISE = re.compile(r"_(?:FILE|PATH|DIR|NAME|ID|SOCK|SECONDS|MINUTES|TTL|TYPE)$", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+(?:[-_.][a-z]+)*|[0-9]+")
_WITH_HOST = frozenset({"http", "https", "postgresql", "postgres", "redis", "rediss", "alertmanager", "alertmanagers"})
_BASE64 = r"[A-Za-z0-9+/_-]*"


@dataclass(frozen=True)
class _Form:
    """One way in which a secret is written."""

    text: str
    pattern: "re.Pattern[str]" = field(compare=False)


class Known:
    """Values that are secrets. All methods may be called from any thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._variables: set[str] = set()
        self._values: set[str] = set()
        self._lock = threading.Lock()
        self._forms: dict[str, list[_Form]] | None = None

    def remember(self, value: str) -> None:
        with self._lock:
            if value not in self._values:
                self._values.add(value)
                self._forms = None

    def refer(self, variables: Iterable[str]) -> None:
        with self._lock:
            new = set(variables) - self._variables
            if new:
                self._variables |= new
                self._forms = None

    def hide(self, text: str) -> str:
        """The text without them. The time depends on the length of the text, not on the number of secrets."""
        forms = self._forms or self._index()
        heads = {text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1)} & forms.keys()
        present = {form for head in heads for form in forms[head] if form.text in text}
        for form in sorted(present, key=lambda form: (-len(form.text), form.text)):
            text = form.pattern.sub(HIDDEN, text)
        return text

    def _index(self) -> dict[str, list[_Form]]:
        """Every form by its first characters."""
        with self._lock:
            secrets = {part for value in self._all() for part in _parts(value.strip())}
            forms: dict[str, list[_Form]] = {}
            for form in {form for secret in secrets for form in _forms(secret)}:
                forms.setdefault(form.text[:SHORTEST], []).append(form)
            self._forms = forms or {"": []}
            return self._forms

    def _all(self) -> Iterator[str]:
        yield from self._values
        for name, value in self._environ.items():
            if name in self._variables or (_NAMED_SO.search(name) and not _NAMED_OTHERWISE.search(name)):
                yield value
            elif "://" in value and "@" in value:
                yield from _password(value)


def _parts(value: str) -> Iterator[str]:
    """The value, and what in it is a secret by itself."""
    secrets = [value]
    if "://" in value:
        secrets += _of_address(value)
    if "\n" in value:
        secrets += [line.strip() for line in value.splitlines() if len(line.strip()) >= _LONGEST_SHOWN_LINE]
    if value.startswith("{"):
        with suppress(ValueError):
            fields = json.loads(value)
            for part in (
                str(fields[name]) for name in ("private_key", "client_secret", "refresh_token") if name in fields
            ):
                yield from _parts(part.strip())
    for part in secrets:
        if len(part) >= SHORTEST and part.lower() not in COMMON and part.strip("*") and not _is_ip_address(part):
            yield part


def _is_ip_address(part: str) -> bool:
    """Client and server addresses are in every log; no token looks like one."""
    with suppress(ValueError):
        ip_address(part)
        return True
    return False


def _of_address(value: str) -> Iterator[str]:
    """Passwords and tokens of a URL; words of its path may be ordinary ones."""
    url = _split(value)
    if url is None:
        return
    yield from _password(value)
    before, _, host = url.netloc.rpartition("@")
    places = [*url.path.split("/"), *(part for _, part in parse_qsl(url.query)), url.fragment, before]
    if url.scheme.lower() not in _WITH_HOST:
        places += host.split(":")
    for place in places:
        if not _WORDS.fullmatch(place):
            yield from {place, unquote(place)}


def _password(value: str) -> Iterator[str]:
    url = _split(value)
    before = url.netloc.rpartition("@")[0] if url else ""
    password = before.partition(":")[2]
    if password:
        yield from {password, unquote(password)}


def _split(value: str) -> SplitResult | None:
    try:
        return urlsplit(value)
    except ValueError:
        return None


def _forms(secret: str) -> Iterator[_Form]:
    once = json.dumps(secret)[1:-1]
    written = {secret, once, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(once)[1:-1], repr(secret)[1:-1]}
    written.add(secret.replace("'", "''"))
    for escaped in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        written |= {escaped, re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), escaped)}
    for text in written:
        # A word or a number is hidden only as a whole word: `20260301` does not match within a longer number.
        whole = _WORDS.fullmatch(text) is not None
        shown = re.escape(text)
        yield _Form(text, re.compile(rf"(?<![A-Za-z0-9]){shown}(?![A-Za-z0-9])" if whole else shown))
    for text in _base64(secret.encode(errors="surrogatepass")):
        yield _Form(text, re.compile(_BASE64 + re.escape(text) + _BASE64 + "={0,2}"))


def _base64(secret: bytes) -> Iterator[str]:
    """What is the same in every base64 text that holds the secret, by the three places at which it may begin."""
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + secret).decode()
        first, last = -(-offset * 8 // 6), (offset + len(secret)) * 8 // 6
        core = whole[first:last]
        yield from {core, core.replace("+", "-").replace("/", "_")}

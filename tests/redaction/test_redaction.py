"""Secrets are found in whatever form they are written, and nothing else is touched."""

import base64
import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Mapping

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from convergence_assets.redaction import _redacted, redacted, redacted_value
from convergence_assets.redaction.known import COMMON, Known

KEY = "cvg_0123456789_" + "aB3-_" * 8 + "xyz"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKc\nwggSjAgEAAoIBAQC7\n-----END PRIVATE KEY-----\n"

texts = st.text(max_size=60)
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40).filter(
    lambda said: len(said.strip()) >= 8 and said.lower() not in COMMON and said.strip("*") != ""
)
mixed = secrets.filter(lambda said: not said.isdigit() and not (said.isascii() and said.islower()))

FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda said: said,
    "json": lambda said: json.dumps({"a": said}),
    "json in json": lambda said: json.dumps({"a": json.dumps({"b": said})}),
    "json as it is": lambda said: json.dumps({"a": said}, ensure_ascii=False),
    "repr": repr,
    "a URL's query": lambda said: "https://h/?q=" + urllib.parse.quote_plus(said),
    "a URL's path": lambda said: "https://h/" + urllib.parse.quote(said, safe=""),
    "a literal of SQL": lambda said: "select '" + said.replace("'", "''") + "'",
}


def knows(*values: str, **environ: str) -> Known:
    known = Known(environ)
    for value in values:
        known.remember(value)
    return known


@pytest.mark.parametrize("form", FORMS)
@given(secret=mixed, before=texts, after=texts)
def test_a_planted_secret_is_never_left(form: str, secret: str, before: str, after: str) -> None:
    written = FORMS[form](secret.strip())
    assume(secret.strip() not in "***")
    shown = _redacted(before + written + after, knows(secret))
    assert secret.strip() not in shown


@given(user=st.text(max_size=12), secret=secrets, urlsafe=st.booleans(), more=st.text(max_size=5))
def test_not_in_the_base64_of_basic_authentication_either(user: str, secret: str, urlsafe: bool, more: str) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    shown = _redacted(
        "Sent " + encode(f"{user}:{secret.strip()}{more}".encode(errors="replace")).decode() + ".", knows(secret)
    )
    assert shown == "Sent ***."


@given(secret=secrets, text=st.text(max_size=200))
@example(secret="*" * 7 + "a", text="*" * 20 + "a")
@example(secret="ab***cdef", text="abab***cdefcdef")
def test_what_was_redacted_once_stays_as_it_is(secret: str, text: str) -> None:
    known = knows(secret)
    once = _redacted(secret.join([text, text, ""]), known)
    assert _redacted(once, known) == once


@given(secret=secrets, text=st.text(st.characters(categories=["L", "N", "Zs"]), max_size=200))
def test_other_text_stays_as_it_is(secret: str, text: str) -> None:
    assume(secret.strip() not in text)
    assert _redacted(text, knows(secret)) == text


HIDDEN = [
    (f"x-api-key: {KEY}", "x-api-key: ***"),
    (f"GET /x?key={KEY} failed", "GET /x?key=cvg_0123456789_*** failed"),
    ("postgresql+psycopg2://dagster:hunter2@db:5432/x", "postgresql+psycopg2://dagster:***@db:5432/x"),
    ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
    ("mailtos://me:p@ss:word@smtp.example.com", "mailtos://me:***@smtp.example.com"),
    ("pagerduty://0123456789abcdef0123@events.eu.pagerduty.com", "pagerduty://***"),
    ("slack://T1234/B5678/abcdef", "slack://***"),
    ("POST https://hooks.slack.com/services/T0/B1/x2 timed out", "POST https://hooks.slack.com/*** timed out"),
    ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
    (json.dumps(json.dumps({"authorization": "Basic dTpw"})), r'"{\"authorization\": \"Basic ***\"}"'),
    ("(b'x-admin-key', b'0123456789abcdef')", "(b'x-admin-key', b'***')"),
    ("dbname=x password=hunter2 host=db", "dbname=x password=*** host=db"),
    ("password = 'hunter 2' AND x", "password = '***' AND x"),
    ('{"db_password": "hun\\"ter2", "port": 5432}', '{"db_password": "***", "port": 5432}'),
    ("CREATE USER x PASSWORD 'hunter2'", "CREATE USER x PASSWORD '***'"),
    ("https://h/cb?access_token=abc&page=2", "https://h/cb?access_token=***&page=2"),
    (f"key {PEM}.", "key ***\n."),
    (json.dumps({"private_key": PEM}), '{"private_key": "***\\n"}'),
    ("cut off: -----BEGIN RSA PRIVATE KEY-----\\nMIIEvQ", "cut off: ***"),
    ("xoxb-1234567890-abc, ya29.a0AfH6SMBx", "***, ***"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), HIDDEN, ids=range(len(HIDDEN)))
def test_what_looks_like_a_secret_is_hidden_wherever_it_is_from(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize("text", [
    "acme/gcp_billing/daily_cost 2026-03-01: published 8080 rows in prod, true", "input_tokens=100, total_token_count=5",
    "primary_key=id, partition_key=2026-03-01, key_id=key_0123456789abcdef", "token=None password=null secret=true",
    "expected a URL like slack://..., or ${env:ACME__SLACK_URL}", "slack://${env:TOKEN_1}", "https://host:8080/a/b@c",
    "a PagerDuty route is written pagerduty://ROUTING_KEY", "gs://bucket/folder/2026-03-01.csv user@example.com",
    "The password is wrong: set it again", "`x-api-key`, `x-admin-key`", "Basic configuration", "bearer tokens expire",
    "postgresql://localhost:5432/dagster", "Secret(ACME__SLACK_URL)", "run 3f1c2a9e-0b7d-4c1e-9a57-2f4bb1a6d8aa: step a",
])  # fmt: skip
def test_what_only_reads_like_one_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("value", ["prod", "8080", "true", "a", "", "localhost", "postgres", "       "])
def test_short_and_common_values_hide_nothing(value: str) -> None:
    known = knows(value, DB_PASSWORD=value)
    text = f"{value} is on localhost:8080, prod, true, postgres, a"
    assert _redacted(text, known) == text


def test_a_word_is_a_secret_as_a_whole_word_alone() -> None:
    known = knows("correcthorse", "20260301")
    assert _redacted("correcthorse, 'correcthorse', 20260301", known) == "***, '***', ***"
    assert _redacted("incorrecthorses, 120260301", known) == "incorrecthorses, 120260301"


@pytest.mark.parametrize(("name", "value", "hidden"), [
    ("ACME_DB_PASSWORD", "s3cr3t-value", True), ("OPENAI_API_KEY", "s3cr3t-value", True), ("SLACK_TOKEN", "s3cr3t-value", True),
    ("DB_PASSWORD_FILE", "/run/secrets/db", False), ("HOME", "/home/somebody", False), ("AWS_ACCESS_KEY_ID", "AKIA12345678", False),
])  # fmt: skip
def test_variables_that_are_named_so_hold_secrets(name: str, value: str, hidden: bool) -> None:
    assert (_redacted(f"said {value}", knows(**{name: value})) == "said ***") is hidden


def test_a_password_in_any_variable_is_one() -> None:
    known = knows(REDIS_URL="redis://:sl%2Fash-pass@cache:6379/0")
    assert _redacted("sl/ash-pass or sl%2Fash-pass at cache:6379", known) == "*** or *** at cache:6379"


def test_variables_that_are_referred_to_hold_secrets() -> None:
    known = knows(PLAIN="neverleave1")
    assert _redacted("neverleave1", known) == "neverleave1"
    known.refer(["PLAIN", "MISSING"])
    assert _redacted("neverleave1", known) == "***"


def test_tokens_within_an_address_are_secrets_and_its_words_are_not() -> None:
    known = knows("https://hooks.example.com/services/incoming/T0KEN-abc123?sig=Zz9Zz9Zz9&channel=costs-alerts")
    shown = _redacted("hooks.example.com services incoming costs-alerts T0KEN-abc123 Zz9Zz9Zz9", known)
    assert shown == "hooks.example.com services incoming costs-alerts *** ***"


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.20", "[2001:db8::20]"])
def test_an_ip_address_that_messages_are_sent_to_is_no_secret(host: str) -> None:
    known = knows(f"mailto://desk:s3cr3t-pass@{host}:2525?from=desk")
    shown = host.strip("[]")
    assert _redacted(f"asked from {shown}, with s3cr3t-pass", known) == f"asked from {shown}, with ***"


def test_lines_of_a_secret_of_several_lines_are_secrets() -> None:
    account = json.dumps({"type": "service_account", "private_key": PEM, "client_email": "x@y.iam.gserviceaccount.com"})
    shown = _redacted(f"bad line {PEM.splitlines()[1]} of x@y.iam.gserviceaccount.com", knows(account))
    assert shown == "bad line *** of x@y.iam.gserviceaccount.com"


def test_fields_that_are_named_so_are_hidden_whole() -> None:
    record = {
        "token": "a",
        "db_password": "b",
        "tokens": "c",
        "list": [{"api_key": "d", "n": 5}],
        "secret": None,
        "ok": True,
    }
    assert redacted_value(record) == {
        "token": "***", "db_password": "***", "tokens": "c", "list": [{"api_key": "***", "n": 5}], "secret": None, "ok": True,
    }  # fmt: skip


def test_many_secrets_cost_no_more_than_few() -> None:
    known = knows(*(f"s3cr3t-{n:06}-value" for n in range(1000)))
    assert _redacted("a s3cr3t-000471-value", known) == "a ***"
    assert sum(len(forms) for forms in known._index().values()) > 1000


def test_this_process_knows_its_own_environment() -> None:
    run: Mapping[str, str] = {"CONVERGENCE_ADMIN_KEY": "admin-key-0123456789", "PATH": os.environ["PATH"]}
    code = "from convergence_assets.redaction import redacted; print(redacted('is admin-key-0123456789'))"
    done = subprocess.run([sys.executable, "-c", code], env=run, capture_output=True, text=True, check=True)
    assert done.stdout == "is ***\n"


NAMES = ["password", "db_passwd", "client_secret", "pwd", "token", "api_key", "apikey", "access-key", "admin_key", "privatekey",
         "auth_key", "routing_key", "sig", "signature"]  # fmt: skip


@pytest.mark.parametrize("name", [*NAMES, *(name.upper() for name in NAMES)])
@pytest.mark.parametrize("form", ["{}=v4lue", "{}='v4 lue'", '{{"{}": "v4lue"}}', "https://h/?a=b&{}=v4lue&c=d"])
def test_values_under_the_names_of_secrets_are_hidden(name: str, form: str) -> None:
    shown = redacted(form.format(name))
    assert "v4" not in shown
    assert name in shown

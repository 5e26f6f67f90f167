"""What looks like a secret wherever it comes from."""

import re

_NAMES = (
    "password", "passwd", "secret", "pwd", "token", "sig", "_key", "-key",
    "apikey", "accesskey", "adminkey", "privatekey", "authkey", "routingkey",
)  # fmt: skip
_NAME = (
    r"(?:password|passwd|secret|(?<![a-z])(?:pwd|token|api[_-]?key|(?:access|admin|private|auth|routing)[_-]?key|sig"
    r"|signature))"
)
_NO_SECRET = r"(?!None\b|null\b|true\b|false\b|\*\*\*|\$\{)"
_UP_TO = r"(?:(?!\{0})(?:\\.|[^\\])){{1,4096}}?(?=\{0})"  # the quotation mark that a group found
_ALERTING = (
    r"slack|pagerduty(?:\+http)?|discord|tgram|msteams|workflows?|opsgenie|pushover|rockets?|matrixs?|gotifys?|mmosts?"
    r"|zulip|webexteams|wxteams|twilio|sendgrid|mailgun|victorops|splunk|signl4|spike|pagertree|dingtalk|feishu|lark"
)

_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = tuple(
    (words, re.compile(pattern, re.IGNORECASE | re.DOTALL), instead)
    for words, pattern, instead in (
        # Convergence's own API keys; what precedes the second underscore is shown to distinguish them.
        (("cvg_",), r"\b(cvg_[a-z0-9]+_)[a-z0-9_-]{8,}", r"\1***"),
        (
            ("private key-",),
            r"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----"
            r"(?:(?:(?!-----).)*-----END \1-----|(?:[a-z0-9+/=\s]|\\[rn])*)",
            "***",
        ),
        (("://",), rf"\b({_ALERTING})://(?=[^\s'\"<>\\]*[0-9])(?!\$\{{)[^\s'\"<>\\]+", r"\1://***"),
        (("://",), r"(://[^\s/@:'\"<>]*):(?!\*\*\*@)[^\s/'\"<>]+@", r"\1:***@"),
        (("://",), r"(://)[^\s/@:'\"<>]{16,}@", r"\1***@"),
        (("://hooks.",), r"(://hooks\.slack\.com/)[^\s'\"<>\\]+", r"\1***"),
        (
            ("/api/webhooks", "webhook.office", "logic.azure"),
            r"(://[\w.-]*(?:discord(?:app)?\.com/api/webhooks|webhook\.office\.com|logic\.azure\.com))/[^\s'\"<>\\]+",
            r"\1/***",
        ),
        (
            ("authorization",),
            r"(authorization(?:\\*[\"'])?\s*[:=,]\s*b?(?:\\*[\"'])?(?:basic|bearer|token|apikey|geniekey)\s+)"
            r"(?!\*\*\*)[^\s\"',;}\\]+",
            r"\1***",
        ),
        (("bearer ", "basic "), r"\b(bearer |basic )(?-i:(?=\S*[0-9A-Z]))[a-z0-9._~+/-]{16,}=*", r"\1***"),
        (
            ("-key",),
            r"(x-(?:api|admin)-key(?:\\*[\"'])?\s*[:=,]\s*b?(?:\\*[\"'])?)(?!\*\*\*)[^\s\"',;}\\]{8,}",
            r"\1***",
        ),
        (_NAMES, rf"({_NAME}\s*=\s*(\\*[\"'])){_NO_SECRET}{_UP_TO.format(2)}", r"\1***"),
        (_NAMES, rf"({_NAME}=){_NO_SECRET}[^\s&;,'\"<>()\[\]{{}}\\]+", r"\1***"),
        (_NAMES, rf"({_NAME}(\\*[\"'])\s*:\s*(\\*[\"'])){_NO_SECRET}{_UP_TO.format(3)}", r"\1***"),
        (("password",), r"(password\s+')(?!\*\*\*')[^']{1,200}(?=')", r"\1***"),
        (
            ("ya29.", "xox", "gh", "aiza", "sk-", "eyj"),
            r"\b(?:ya29\.[\w.-]{8,}|xox[a-z]-[\w-]{10,}|gh[pousr]_\w{20,}|AIza[\w-]{35}|sk-[\w-]{20,}"
            r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)",
            "***",
        ),
    )
)  # fmt: skip
"""Each with lower-case words; a text that it matches contains one of them."""
_WORDS = tuple(sorted({word for words, _, _ in _SHAPES for word in words}))


def hide_shapes(text: str) -> str:
    """The text without what looks like a secret."""
    lower = text.lower()
    for word in _WORDS:
        if word in lower:
            break
    else:  # most texts; a generator would be slower than the search
        return text
    for words, pattern, instead in _SHAPES:
        if any(word in lower for word in words):
            text = pattern.sub(instead, text)
    return text

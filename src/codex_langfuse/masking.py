"""The forms of secrets that are known, and the masking of every text that is shown, kept or sent.

``FORMS`` is the only list: the relay, ``config``, ``check``, the mock and the logs mask by it, and the page
on privacy shows it. Searching takes time in proportion to the text. Python's ``re`` guarantees that for no
pattern, so these are written for it: what repeats without a limit is possessive, and either ends the pattern
or cannot run over the beginning of another match; everything else has a limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

MASK = "[secret masked]"
_MASKED = MASK.split()[0]


@dataclass(frozen=True)
class Form:
    """One form of secret.

    Attributes:
        group: the row of the page's table that it belongs to.
        looks: how it looks, where the ellipsis is what gets masked, and a secret to put there.
        anchors: texts in lower case; a text with none of them is not searched.
        pattern: finds it; what its groups hold gets masked.
        lowered: whether the pattern is for the text in lower case.
        is_secret: looks at a match again; a match for which it returns False stays.
    """

    group: str
    looks: Mapping[str, str]
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    lowered: bool = False
    is_secret: Callable[[re.Match[str]], bool] | None = None

    def find(self, text: str, lowered: str) -> Iterator[tuple[int, int]]:
        """Yield where its secrets begin and end; ``lowered`` is ``text`` in lower case, of equal length."""
        if not any(anchor in lowered for anchor in self.anchors):
            return
        for match in self.pattern.finditer(lowered if self.lowered else text):
            if self.is_secret is None or self.is_secret(match):
                for number in range(1, self.pattern.groups + 1):
                    # What is masked already stays as it is.
                    if match[number] and not match[number].startswith(_MASKED):
                        yield match.span(number)


def mask_secrets(text: str) -> str:
    """Replace what has the form of a secret; the words around it stay."""
    return covered(text, lambda start, end: MASK)


def has_secret(text: str) -> bool:
    """Return whether something in a text has the form of a secret."""
    return next(_found(text), None) is not None


def covered(text: str, cover: Callable[[int, int], str], also: Iterable[tuple[int, int]] = ()) -> str:
    """Return ``text`` with what ``cover`` returns in place of each secret, and of each place in ``also``.

    ``cover`` gets where the secret begins and ends.
    """
    parts = []
    at = 0
    for start, end in _merged(chain(_found(text), also)):
        parts += [text[at:start], cover(start, end)]
        at = end
    return "".join([*parts, text[at:]]) if parts else text


def _found(text: str) -> Iterator[tuple[int, int]]:
    # This letter becomes two in lower case.
    lowered = text.replace("\u0130", "I").lower()
    for form in FORMS:
        yield from form.find(text, lowered)


def _merged(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


# --- Keys that their issuer marks ---------------------------------------------------------------------------

_SAMPLE = "Zq7xW2mN4kP9rT5vB8yC3dF6gH1jL0sAeU"
_UPPER = "ZQ7XW2MN4KP9RT5VB8YC"
_HEX = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
_WORD = "A-Za-z0-9_-"
_PLAIN = "A-Za-z0-9"
_BASE64 = "A-Za-z0-9+/=_-"
#: `sk-` also begins words such as `sk-learn-contrib-package`, and Langfuse's keys.
_NO_WORDS = r"(?!lf-|[a-z]{1,15}(?:-[a-z]{1,15}){1,8}+(?![A-Za-z0-9_-]))"


def _marked(
    group: str, letters: str, least: int, *marks: str, more: str = "", sample: str = _SAMPLE
) -> Iterator[Form]:
    """Yield the forms of keys that begin with a mark, not in the middle of a word."""
    for mark in marks:
        start = re.escape(mark)
        pattern = re.compile(rf"{start}(?<![A-Za-z0-9]{start}){more}([{letters}]{{{least},}}+)")
        yield Form(group, {f"{mark}…": sample}, (mark.lower(),), pattern)


def _webhook(looks: str, anchor: str, pattern: str) -> Form:
    compiled = re.compile(rf"{pattern}([A-Za-z0-9_%=&/.@-]{{16,}}+)")
    return Form("services", {f"https://{looks}…": _SAMPLE}, (anchor,), compiled)


_MARKED = (
    *_marked("langfuse", _WORD, 6, "sk-lf-", "pk-lf-"),
    # Both in base64: the pair as a header has it.
    *_marked("langfuse", _BASE64, 8, "cGstbGYt", "c2stbGYt"),
    *_marked("models", _WORD, 12, "sk-", more=_NO_WORDS),
    *_marked("models", _WORD, 16, "gsk_", "xai-", "hf_", "nvapi-", "pplx-", "r8_", "AIza"),
    *_marked("code", _WORD, 12, "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
    *_marked("code", _WORD, 12, "glpat-", "gldt-", "glrt-", "npm_", "pypi-", "dckr_pat_", "rubygems_"),
    *_marked("cloud", "A-Z0-9", 12, "AKIA", "ASIA", sample=_UPPER),
    *_marked("cloud", _PLAIN, 12, "LTAI"),
    *_marked("cloud", _PLAIN, 24, "AKID"),
    *_marked("cloud", _WORD, 16, "ya29.", "GOCSPX-", "dop_v1_", "hvs.", "hvb.", "hvr.", "tskey-"),
    *_marked("cloud", "0-9a-f", 32, "dapi", sample=_HEX),
    *_marked("services", _WORD, 8, "xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"),
    *_marked("services", "A-Za-z0-9_.-", 16, "SG.", "glsa_", "sntrys_", "lin_api_", "ntn_"),
    *_marked("services", _BASE64, 16, "shpat_", "figd_", "PMAK-", "ATATT3", "whsec_"),
    *_marked("services", _PLAIN, 8, "sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_"),
    Form(
        "services",
        {"123456789:AA…": _SAMPLE},
        (":aa",),
        re.compile(r":AA(?<=[0-9]{8}:AA)([A-Za-z0-9_-]{30,}+)"),
    ),
    _webhook("hooks.slack.com/services/", "hooks.slack.com", r"hooks\.slack\.com/[a-z]{1,20}/"),
    _webhook("discord.com/api/webhooks/", "api/webhooks/", r"/api/webhooks/"),
    _webhook("example.webhook.office.com/webhookb2/", "webhookb2/", r"/webhookb2/"),
    _webhook("open.feishu.cn/open-apis/bot/v2/hook/", "open-apis/bot", r"/open-apis/bot/v2/hook/"),
    _webhook("qyapi.weixin.qq.com/cgi-bin/webhook/send?key=", "webhook/send", r"/webhook/send\?key="),
    Form(
        "tokens",
        {"eyJhbGciOiJIUzI1NiJ9.…": "eyJzdWIiOiJhIn0.Zq7xW2mN4kP9rT5v"},
        ("eyj", "eyk"),
        re.compile(r"ey[JK](?<![A-Za-z0-9_-]ey[JK])[\w-]{6,2000}+\.([\w-]{4,}+(?:\.[\w-]*+){0,4})"),
    ),
    Form(
        "private",
        {
            f"-----BEGIN {kind}-----…-----END {kind}-----": "\nMIIEvQIBADANBgkqhkiG9w0\n+BAQEFAASC/Bw=\n"
            for kind in ("PRIVATE KEY", "PGP PRIVATE KEY BLOCK")
        },
        ("private key",),
        re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----((?:[^-]++|-(?!----END))++)"),
    ),
    *_marked("private", "A-Z0-9", 16, "AGE-SECRET-KEY-1", sample=_UPPER),
)

# --- Secrets that their surroundings give away --------------------------------------------------------------
# These patterns are for text in lower case.

#: What names of secrets contain; a key needs another word before it.
NAMES = (
    *("password", "passwort", "passwd", "passphrase", "passcode", "dbpass", "userpass", "pwd", "secret"),
    *("token", "credential", "密码", "密钥", "口令", "令牌"),
)
KEYS = (
    *("api", "access", "account", "auth", "private", "encryption", "signing", "master", "shared"),
    *("license", "storage", "subscription", "functions", "deploy", "service", "client"),
)
#: `pass` and `auth` only as words: `DB_PASS`, not `bypass`; `_auth`, not `author`.
_NAME = rf"(?>{'|'.join(NAMES)}|pass(?<![a-z]pass)|_auth|(?:{'|'.join(KEYS)})[ _.-]?key)"
_NAME_ANCHORS = (*NAMES, "pass", "_auth", "key")
#: What belongs to a secret and is none, such as `token_count` and `password_file`.
_NO_SECRET = (
    r"(?!s?[_.-]?(?:count|limit|type|name|url|uri|endpoint|file|path|env|len|size|ttl|expir|budget|usage|used"
    r"|total|stdin|prompt|policy|iz|ing\b))"
)
#: A quote, which JSON within JSON escapes.
_QUOTE = r"\\{0,3}[\"']?"
_REST = _NO_SECRET + r"[\w.-]{0,40}+" + _QUOTE
_IS = r"\s{0,8}(?::=|=>|==?|:|：)\s{0,8}"
#: Between an option and its value, in a command line or in a JSON list of words.
_NEXT = _QUOTE + r"[ \t,=]{1,6}" + _QUOTE
_UNQUOTED = r"[^\s\"'\\]"
_SCHEME = (
    r"(?:(?:basic|bearer|token|apikey|api-key|key|digest|negotiate|ntlm|bot|splunk|genie)"
    r"(?:[ \t]{1,4}|%20))?+"
)
_NO_VALUE = re.compile(
    r"\$[a-z_{(]|%[a-z_]+%|[\[{(<]|…|\*{3}"  # a variable, the start of something else, a mask
    r"|(?:true|false|null|none|nil|undefined|string|bytes|number|boolean|required|optional)(?![\w-])"
    r"|(?:self|this|args|config|settings|os|process|env|options|opts|secrets|vars|inputs|request|data)\."
    r"|[a-z_][\w.]{0,60}\("
)


def _value(scheme: str = "") -> str:
    """Return the pattern of a value, in quotes of any kind or in none; in quotes it may hold blanks."""
    return (
        rf"(?:\"\"\"{scheme}((?:[^\"]++|\"(?!\"\"))++)|'''{scheme}((?:[^']++|'(?!''))++)"
        rf"|\\{{1,3}}[\"']{scheme}([^\"'\\\n]{{4,}}+)"
        rf"|\"{scheme}(?=[^\"\n]{{4}})((?:[^\"\\\n]++|\\.)++)|'{scheme}([^'\n]{{4,}}+)"
        rf"|{scheme}([^\s\"'\\,;&}}]{{4,}}+))"
    )


def _is_value(match: re.Match[str]) -> bool:
    value = match[match.lastindex or 0]
    is_count = value.replace(",", "").isdigit() and len(value) < 10 and "token" in match[0]
    is_folder = match[0].startswith("pwd") and value[0] in "/~."
    return not is_count and not is_folder and not _NO_VALUE.match(value)


def _is_no_number(match: re.Match[str]) -> bool:
    return not match[1].isdigit() and not match[1].startswith("$")


def _near(
    group: str,
    looks: Iterable[str] | Mapping[str, str],
    anchors: tuple[str, ...],
    pattern: str,
    is_secret: Callable[[re.Match[str]], bool] | None = _is_value,
) -> Form:
    examples = looks if isinstance(looks, Mapping) else dict.fromkeys(looks, _SAMPLE)
    return Form(group, examples, anchors, re.compile(pattern), lowered=True, is_secret=is_secret)


def _of_program(looks: str, anchor: str, programs: str, option: str) -> Form:
    return _near("commands", [looks], (anchor,), rf"(?:{programs})\b[^\n;|&]{{0,200}}?[ \t\"']{option}", None)


_NEAR = (
    _near(
        "named",
        {
            **dict.fromkeys(
                (
                    *("DB_PASS=…", "Server=db;Pwd=…;", "passphrase: …", "'client_secret': '…'"),
                    *("X-Api-Key: …", "AccountKey=…", r"{\"token\": \"…\"}", "密码：…"),
                ),
                _SAMPLE,
            ),
            'password = "…"': "two words, and more",
        },
        _NAME_ANCHORS,
        _NAME + _REST + _IS + _value(),
    ),
    _near(
        "named",
        ['"name": "DB_PASSWORD", "value": "…"', "name: DB_PASSWORD\n  value: …"],
        _NAME_ANCHORS,
        _NAME + r"[\w.-]{0,40}+" + _QUOTE + r"[\s,]{1,20}" + _QUOTE + "value" + _QUOTE + _IS + _value(),
    ),
    _near("named", ['"auth": "…"'], ("auth",), r"[\"']auth" + _QUOTE + _IS + _QUOTE + r"([\w+/=]{16,}+)"),
    _near("named", ["<password>…</password>"], _NAME_ANCHORS, _NAME + r"[\w.-]{0,40}+>([^<>]{3,}+)</"),
    _near(
        "headers",
        ["Authorization: Basic …", "Authorization: token …", 'Authorization = "…"'],
        ("authorization",),
        r"authorization" + _QUOTE + _IS + _value(_SCHEME),
    ),
    _near(
        "headers",
        ["Bearer …", "Basic%20…"],
        ("basic", "bearer"),
        r"(?:basic|bearer)(?:[ \t]{1,4}|%20)(?=[\w.~+/=%-]{0,200}?[0-9=])([\w.~+/=%-]{12,}+)",
    ),
    _near(
        "headers",
        ["Cookie: id=…", "curl --cookie 'id=…'"],
        ("cookie",),
        r"cookie"
        + _QUOTE
        + r"[ \t]{0,4}[:=, ][ \t]{0,4}"
        + _QUOTE
        + r"[\w.!#$%&*+^`|~-]{1,100}=([^\r\n\"'\\]{3,}+)",
    ),
    _near(
        "commands",
        ["--password …", "--api-key=…", '"--token", "…"', "openssl -passin …"],
        _NAME_ANCHORS,
        r"-(?<![\w-]-)-?(?:[a-z0-9]{1,16}-){0,3}" + _NAME + _REST + r"[ \t,=]{1,6}(?!-)" + _value(),
    ),
    _near(
        "commands",
        ["setx API_TOKEN …", "set -gx API_TOKEN …"],
        ("setx", "set -"),
        r"\bset(?:x| -[a-z]{1,3}) {1,4}\w{0,40}?" + _NAME + _REST + r"[ \t]{1,6}(?!-)" + _value(),
    ),
    _near(
        "commands",
        ["curl -u ada:…", "--user ada:…", '"-u", "ada:…"'],
        ("-u", "-user"),
        rf"-(?<![\w-]-)(?:u|-user|-proxy-user)(?:{_NEXT})?+[^\s:\"'\\]{{0,64}}:({_UNQUOTED}{{2,}}+)",
        _is_no_number,
    ),
    _of_program(
        "mysql -u ada -p…",
        "-p",
        "mysql|mysqldump|mysqladmin|mariadb|mariadb-dump|7z|7za",
        rf"-p((?!-){_UNQUOTED}++)",
    ),
    _of_program(
        "sshpass -p…", "-p", "sshpass|docker login|az login", rf"-p(?:{_NEXT})?+({_UNQUOTED}{{2,}}+)"
    ),
    _of_program("redis-cli -a …", "redis-cli", "redis-cli", rf"-a{_NEXT}({_UNQUOTED}{{2,}}+)"),
    _near(
        "commands",
        ["machine db login ada password …"],
        ("login",),
        r"login\s{1,8}\S{1,200}+\s{1,8}password\s{1,8}(\S{2,}+)",
        None,
    ),
    _near(
        "addresses",
        {
            "https://…@example.com/x.git": "ada:Zq7xW2mN4kP9rT5v",
            "https://…@example.com": "Zq7xW2mN4kP9rT5vB8yC",
            "postgres://…@db/x": "ada:p/w@r:d",
        },
        ("://",),
        # Up to the last @, as a password may hold one; a number behind the colon is a port.
        r"://([^\s/@:\"'<>?#\[$]{0,64}:(?!\d{1,5}(?:[/?#\s\"']|$))PART*+(?:@PART*+(?=@))*+"
        r"|[^\s/@:\"'<>?#\[$]{12,200}+)@".replace("PART", r"(?:[^\s\"'<>?#:@]++|:(?!//))"),
        None,
    ),
    _near(
        "addresses",
        ["https://example.com/?sv=2024&sig=…", "https://example.com/?X-Amz-Signature=…"],
        ("sig",),
        r"[?&;](?:sig|signature|x-amz-signature|x-goog-signature)=([\w%+/=-]{16,}+)",
    ),
)

FORMS = (*_MARKED, *_NEAR)

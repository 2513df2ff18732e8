"""TOML texts as people and installers leave them: good ones, and good ones with a few characters changed."""

import random

from error_catalogue import catalogue

_PIECES = (
    *"=.,#\"'[]{}\n\t \\:-+_0aZ",
    '"""',
    "'''",
    "[[",
    "]]",
    "\r\n",
    "ü",
    "“",
    "\u00a0",
    "[otel]\n",
    "otel.exporter = 1\n",
    "true",
    "1.5",
    "0x1F",
    "1979-05-27",
    "= \n",
    "\n\n",
    "\x00",
)

GOOD = (
    '[otel]\nenvironment = "prod" # one\nlog_user_prompt = false\n',
    'a."b.c".\'d e\' = 1\na.f = 2\n\n[t]\nx = [1, 2, [3, "four"]]\n',
    "[[a]]\nb = 1\n[a.c]\nd = 2\n[[a]]\nb = 3\n",
    '[otel]\ntrace_exporter = { otlp-http = {\n  endpoint = "http://x/", # c\n  headers = { a = "b" },\n}}\n',
    "s = \"\"\"\nline\\\n  more\"\"\"\"\nl = '''x\n''y'''\n",
    "d = 1979-05-27 07:32:00Z\ne = 07:32:00\nf = -1.5e3\ng = inf\nh = 1_000\n",
    '[projects."/home/ada"]\ntrust_level = "trusted"\n\n[shell_environment_policy]\nexclude = [\n "A",\n]\n',
    "x = {\n a =\n 1, b = [\n {c = 1}, {d = 2}\n]}\n",
)


def mutations(count: int, seed: int = 20261128) -> list[str]:
    """Return ``count`` texts, the same for the same ``seed``."""
    chance = random.Random(seed)
    sources = [*GOOD, *(mistake.example.config for mistake in catalogue().values())]
    texts = []
    for _ in range(count):
        text = chance.choice(sources)
        if chance.random() < 0.2:
            text += chance.choice(sources)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(text) + 1)
            end = min(len(text), at + chance.choice((0, 0, 0, 1, 1, 2, 12)))
            text = text[:at] + chance.choice(("", "", *_PIECES)) + text[end:]
        texts.append(text)
    return texts

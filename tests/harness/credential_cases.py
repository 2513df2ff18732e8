"""Pairs of keys and addresses, good and bad, for all three that make a header of them."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from codex_langfuse.page_addresses import page_url
from harness.fences.scanner import ROOT

EXAMPLES = ROOT / "examples/codex"
#: The pages that the messages name.
PAGES = (
    page_url("quickstart", "keys"),
    page_url("configuration-only", "verify"),
    page_url("guide/troubleshooting", "refused-keys"),
    page_url("guide/troubleshooting", "unreachable"),
    page_url("guide/troubleshooting", "endpoint-path"),
)
PUBLIC = "pk-lf-8f1c2b7e-0d5a-4c1e-9c53-d5a1c7e0f001"
SECRET = "sk-lf-4b0e7d92-66f3-4f6a-8a53-0f5e1a7c9002"
PLACES = {"eu": "cloud-eu", "us": "cloud-us", "jp": "cloud-jp", "hipaa": "cloud-hipaa"}
BOTH = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET}

HOSTILE = [
    "$(touch owned)",
    "`id`",
    "a b  c",
    "back\\slash\\n",
    "it's",
    'say "hi"',
    "100%s%d%%",
    "-n",
    "-e",
    "*",
    "!!",
    "${HOME}",
    "~",
    "&& true",
    "a,b;c=d",
    "x" * 400,
]

#: Name: public key, secret key, what is said.
REFUSED_KEYS = {
    "swapped": (SECRET, PUBLIC, "the two keys are swapped"),
    "two secrets": (SECRET, SECRET, "that is a secret key (sk-lf-), not the public key (pk-lf-)"),
    "two publics": (PUBLIC, PUBLIC, "that is a public key (pk-lf-), not the secret key (sk-lf-)"),
    "OpenAI": (PUBLIC, "sk-proj-1234567890abcdef", "the secret key is one of OpenAI (sk-)"),
    "Anthropic": (PUBLIC, "sk-ant-api03-1234567890", "the secret key is one of Anthropic (sk-ant-)"),
    "base64": ("cGstbGYtMTIzOnNrLWxmLTEyMw==", SECRET, "is a header made of both keys already"),
    "header": (PUBLIC, "Basic cGstbGYtMTIz", "is a header made of both keys already"),
    "other": (
        "my-key",
        SECRET,
        "does not begin with pk-lf-. If your own Langfuse was set up with such a key",
    ),
    "upper case": (PUBLIC.upper(), SECRET, "does not begin with pk-lf-"),
    "only the prefix": (PUBLIC, "sk-lf-", "the secret key is incomplete"),
    "dots": ("pk-lf-...", SECRET, "the public key is incomplete"),
    "ellipsis": ("pk-lf-…", SECRET, "the public key contains a character that no key has"),
    "line break": (PUBLIC, f"{SECRET}\n{SECRET}", "the secret key contains a character that no key has"),
    "escape": (PUBLIC, f"{SECRET}\x1b[201~", "the secret key contains a character that no key has"),
    "space": (PUBLIC, "sk-lf-12 34", "the secret key contains a space"),
    "pair": (f"{PUBLIC}:{SECRET}", SECRET, "the public key contains a colon"),
    "only quotes": (PUBLIC, "''", "the secret key is empty"),
}
#: Address: what is said.
REFUSED_ADDRESSES = {
    "HTTP://US.cloud.langfuse.com": "https:// only: https://us.cloud.langfuse.com",
    " ": "the address is empty",
    "langfuse.example.com": "Did you mean https://langfuse.example.com?",
    "langfuse.example.com:8443": "Did you mean https://langfuse.example.com:8443?",
    "localhost:3000": "Did you mean http://localhost:3000?",
    "localhost": "Did you mean http://localhost?",
    "10.0.0.5:3000": "Did you mean http://10.0.0.5:3000?",
    "10.0.0.5": "Did you mean http://10.0.0.5?",
    "langfuse:3000": "Did you mean http://langfuse:3000?",
    "pk:secret@example.com": "contains a user name or a password",
    "europe": '"europe" is neither a region (eu, us, jp, hipaa) nor an address',
    "ftp://example.com": "nor an address with http:// or https://",
    "https://": "the address has no valid host or port",
    "https://example.com:99999": "the address has no valid host or port",
    "https://exa mple.com": "contains a character that does not belong there",
    'https://x"\n[otel]': "contains a character that does not belong there",
    "https://$(id).example.com": "contains a character that does not belong there",
    "https://pk:secret@example.com": "contains a user name or a password",
    "https://langfuse.com": "langfuse.com is the website",
    "http://us.cloud.langfuse.com": "https:// only: https://us.cloud.langfuse.com",
    "https://cloud.langfuse.com/api/public/otel/v1/traces": "only the address of Langfuse: https://cloud.langfuse.com",
    "https://cloud.langfuse.com/project/abc/traces?x=1": "only the address of Langfuse: https://cloud.langfuse.com",
    "https://lf.example.com/base/api/public/otel/": "only the address of Langfuse: https://lf.example.com/base",
    "https://lf.example.com/project/abc": "only the address of Langfuse: https://lf.example.com",
    "https://lf.example.com/#top": "only the address of Langfuse: https://lf.example.com",
    "sk-lf-1234": "that is a key, not an address",
}

#: What is said: options, variables.
USAGE_ERRORS = {
    "no address": ([], {}),
    "no public key": (["--region", "eu"], {}),
    "no secret key": (["--region", "eu", "--public-key", PUBLIC], {}),
    "give --region or --base-url, not both": (
        ["--region", "eu", "--base-url", "http://localhost:3000"],
        BOTH,
    ),
    "--force goes with --write": (["--region", "eu", "--force"], BOTH),
    "--headers takes no other option": (["--headers", "--quiet"], BOTH),
}


#: Answers to the question for projects, of a Langfuse or something in its place: status, body, what is said.
ANSWERS = {
    "as Langfuse": (200, '{"data":[{"id":"p1","name":"x"}],"meta":{}}', "accepts the keys (project p1)"),
    "another order": (200, '{"meta":{},"data":[{"name":"x","id":"p1"}]}', "accepts the keys (project p1)"),
    "indented": (200, '{\n  "data" : [\n    {"id" : "p1"}\n  ]\n}\n', "accepts the keys (project p1)"),
    "no project": (200, '{"data":[]}', "not as Langfuse does (status 200)"),
    "not whole": (200, '{"data":[{"id":"p1"}]', "not as Langfuse does (status 200)"),
    "a strange id": (200, '{"data":[{"id":"p 1"}]}', "not as Langfuse does (status 200)"),
    "a page": (200, "<h1>Welcome</h1>", "not as Langfuse does (status 200)"),
    "refused": (
        401,
        json.dumps({"message": "Invalid credentials. Confirm that you've configured the correct host."}),
        "Langfuse says: Invalid credentials. Confirm that you've configured the correct host.\n",
    ),
    "refused, indented": (401, '{\n  "error": "x",\n  "message": "why"\n}', "Langfuse says: why\n"),
    "escapes": (
        403,
        '{"message":"no way \\u00e9 \\"q\\" <b> \\\\ \\/ \\ud83d\\ude00 100%s"}',
        'Langfuse says: no way é "q" <b> \\ / 😀 100%s\n',
    ),
    "lines and control characters": (
        401,
        '{"message":"one\\ntwo\\u001b[31m\\u0085three\\u2028four"}',
        "Langfuse says: one two [31m three four\n",
    ),
    "not in ASCII": (500, '{"error":"密钥无效"}', "Langfuse says: 密钥无效\n"),
    "no text": (401, '{"message":5}', "refuses the keys (401)"),
}


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """A server that answers everything so; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def header(public: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{public}:{secret}".encode()).decode()

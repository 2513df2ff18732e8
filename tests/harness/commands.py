"""Commands of codex-langfuse, run in this process with nothing from the machine's own settings."""

import pytest
import typer.testing

from codex_langfuse.cli import app
from codex_langfuse.keys.key_file import VARIABLES
from codex_langfuse.mock.server import RunningMock


def run_auth(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, stdin: str = "", **variables: str
) -> typer.testing.Result:
    """Run ``auth`` with these variables."""
    for name in (*VARIABLES, "SHELL"):
        monkeypatch.delenv(name, raising=False)
    environment = {"NO_PROXY": "127.0.0.1,localhost", **variables}
    return typer.testing.CliRunner().invoke(app, ["auth", *arguments], input=stdin, env=environment)


def run_dashboard(mock: RunningMock, *arguments: str, **variables: str) -> typer.testing.Result:
    """Run ``dashboard`` with a mock's address and keys; variables replace or add to them."""
    environment = {
        "LANGFUSE_BASE_URL": mock.url,
        "LANGFUSE_PUBLIC_KEY": mock.public_key,
        "LANGFUSE_SECRET_KEY": mock.secret_key,
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "",
        **variables,
    }
    return typer.testing.CliRunner().invoke(app, ["dashboard", *arguments], env=environment)


def dashboard_done(mock: RunningMock, *arguments: str) -> typer.testing.Result:
    """Run ``dashboard`` as above, and see it succeed."""
    result = run_dashboard(mock, *arguments)
    assert result.exit_code == 0, result.stderr
    return result

"""The Langfuse that ``docker compose up`` or ``helm upgrade --install`` starts: the mock."""

import subprocess
import sys

from harness.stand_ins import ComplaintError, state_folder


def start(host: str, environment: dict[str, str]) -> None:
    """Start it with the keys of the ``LANGFUSE_INIT_`` variables, and have the proxy lead ``host`` to it.

    It ends with the terminal that it was started from.

    Raises:
        ComplaintError: a variable is missing without which Langfuse would make no project, keys or user.
    """
    needed = (
        "ORG_ID",
        "PROJECT_ID",
        "PROJECT_PUBLIC_KEY",
        "PROJECT_SECRET_KEY",
        "USER_EMAIL",
        "USER_PASSWORD",
    )
    missing = [f"LANGFUSE_INIT_{name}" for name in needed if not environment.get(f"LANGFUSE_INIT_{name}")]
    if missing:
        raise ComplaintError(f"Langfuse would make no project with known keys and a user without {missing}")
    command = [sys.executable, "-m", "codex_langfuse", "mock", "--port", "0"]
    command += ["--public-key", environment["LANGFUSE_INIT_PROJECT_PUBLIC_KEY"]]
    command += ["--secret-key", environment["LANGFUSE_INIT_PROJECT_SECRET_KEY"]]
    mock = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert mock.stdout is not None
    address = mock.stdout.readline().strip()
    hosts = state_folder() / "hosts"
    hosts.mkdir(parents=True, exist_ok=True)
    (hosts / host).write_text(address)

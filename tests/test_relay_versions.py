"""What the relay makes of each version of Codex that was recorded."""

import pytest

import recordings
from codex_langfuse.relay.failures import exit_code
from relay_documented import versions_table, what_leaves
from relayed_recordings import BOTH, LOGS, SIMPLE, TRACES, batches, recording, relay, tree

CALL = {
    "input": 200,
    "input_cached_tokens": 1000,
    "input_cache_creation": 0,
    "output": 30,
    "output_reasoning_tokens": 20,
    "total": 1250,
}


WITH_TRACES = [name for name in SIMPLE if "traces" in recordings.signals(name)]


@pytest.mark.parametrize("signals", [BOTH, LOGS])
@pytest.mark.parametrize("name", SIMPLE)
def test_logs_give_the_same_turn_in_every_version(name: str, signals: tuple[str, ...]):
    relayed = relay(batches(name, signals))
    tool = (
        "shell"
        if recordings.version(name) < (0, 73)
        else "shell_command"
        if recordings.version(name) < (0, 98)
        else "exec_command"
    )
    assert tree(relayed.observations) == [
        "AGENT codex turn",
        "  GENERATION model call",
        f"    TOOL {tool}",
        "  GENERATION model call",
    ]
    assert [each["usageDetails"] for each in relayed.of("GENERATION")] == [CALL, CALL]
    for generation in relayed.of("GENERATION"):
        assert generation["model"] == "gpt-5-codex"
        assert generation["startTime"] < generation["endTime"]
        assert generation["timeToFirstToken"] is not None
    (found,) = relayed.of("TOOL")
    assert (found["metadata"]["exit_code"], found["metadata"]["decision"]) == (0, "approved")
    assert {each["sessionId"] for each in relayed.observations} == {
        relayed.root["metadata"]["conversation_id"]
    }
    assert {each["version"] for each in relayed.observations} == {name.split("-")[0]}
    assert {each["environment"] for each in relayed.observations} == {"test"}
    assert relayed.root["metadata"]["approval_policy"] == "never"
    assert relayed.root["metadata"]["total_tokens"] == 2500


@pytest.mark.parametrize("name", [name for name in WITH_TRACES if recordings.version(name) >= (0, 113)])
def test_traces_alone_give_the_turn_and_from_0_128_its_tokens(name: str):
    relayed = relay(batches(name, TRACES))
    silent = "" if recordings.version(name) >= (0, 128) else " WARNING usage not reported"
    assert tree(relayed.observations) == [
        "AGENT codex turn",
        f"  GENERATION model call{silent}",
        "    TOOL exec_command",
        f"  GENERATION model call{silent}",
    ]
    expected = [CALL, CALL] if recordings.version(name) >= (0, 128) else [{}, {}]
    assert [each["usageDetails"] for each in relayed.of("GENERATION")] == expected
    assert relayed.root["metadata"]["turn_id"]


def test_the_table_of_versions_says_what_is_missing():
    rows = versions_table({name.split("-")[0]: recording(name) for name in SIMPLE})
    by = {(row["version"], row["signals"]): row for row in rows}
    assert by["0.44.0", "logs"]["tokens"] == "yes"
    assert ("0.44.0", "traces") not in by
    assert by["0.44.0", "logs"]["turn id"] == ""
    assert by["0.114.0", "traces"]["tokens"] == ""
    assert by["0.130.0", "traces"]["tokens"] == "yes"
    assert by["0.114.0", "both"]["Codex's own total"] == ""
    assert by["0.130.0", "both"]["Codex's own total"] == "yes"
    assert by["0.169.0", "traces"]["exit code"] == ""
    both = by["0.169.0", "both"]
    assert {key for key, value in both.items() if not value} == set()


@pytest.mark.slow
def test_the_table_of_what_leaves_has_three_kinds_of_rows():
    rows = what_leaves([batches("0.169.0-privacy-lup_true_agentresp", LOGS)])
    by = {(row["where"], row["field"]): (row["none"], row["prompts"], row["full"]) for row in rows}
    assert by["log", "prompt"] == ("", "text", "text")
    assert by["log", "response"] == ("", "text", "text")
    assert by["log", "arguments"] == ("", "", "text")
    assert by["log", "output"] == ("", "", "text")
    assert by["log", "model"] == ("name", "name", "name")
    assert by["resource of logs", "env"] == ("name", "name", "name")
    assert by["resource of logs", "service.version"] == ("version", "version", "version")
    assert ("log", "user.email") not in by
    assert ("resource of logs", "host.name") not in by
    assert ("log", "mcp_server_origin") not in by


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ('{"output":"hi\\n","metadata":{"exit_code":2,"duration_seconds":0.0}}', 2),
        (
            '{"output":"\\"metadata\\":{\\"exit_code\\":9}","metadata":{"exit_code":0,"duration_seconds":1.0}}',
            0,
        ),
        ("Exit code: 1\nWall time: 0 seconds\nOutput:\nhello\n", 1),
        ("Exit code: 124\nTotal output lines: 900\nOutput:\n…", 124),
        (
            "Chunk ID: bd37b7\nWall time: 0.0 seconds\nProcess exited with code 3\nOriginal token count: 1\n",
            3,
        ),
        ("Chunk ID: a\nWall time: 0.1 seconds\nProcess exited with code -1\nOutput:\n", -1),
        ("Wall time: 0.0000 seconds\nOutput:\nExit code: 1\nWall time: 0 seconds\nOutput:\nfailed", 1),
        # A command can print such lines itself.
        ("Chunk ID: a\nWall time: 0.1 seconds\nProcess exited with code 0\nOutput:\nExit code: 3\n", 0),
        (
            "Wall time: 1 seconds\nProcess running with session ID 5\nOutput:\nProcess exited with code 3\n",
            None,
        ),
        ("Process exited with code three", None),
        ("", None),
    ],
)
def test_exit_codes_are_read_from_what_codex_says_not_from_what_the_command_prints(
    output: str, expected: int | None
):
    assert exit_code(output) == expected

"""The scripted model and the way Codex is pointed at it, without Codex."""

import json

import httpx
import pytest

from codex_langfuse.codex.overrides import with_overrides
from codex_langfuse.codex.scripted_model import (
    COMMAND_OF_PROMPT,
    SCENARIOS,
    USAGE,
    Message,
    Scenario,
    ToolCall,
    running_scripted_model,
)

OURS = ["-c", "model_provider=scripted"]


def user(text: str) -> dict:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def output(text: str) -> dict:
    return {"type": "function_call_output", "call_id": "call_1", "output": text}


ASSISTANT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
CONTEXT = user("<environment_context>…</environment_context>")


@pytest.fixture
def model():
    with running_scripted_model() as model:
        yield model


def ask(model, *history: dict) -> httpx.Response:
    return httpx.post(f"{model.base_url}/responses", json={"input": list(history), "stream": True})


def events(response: httpx.Response) -> list[dict]:
    assert response.headers["content-type"] == "text/event-stream"
    return [
        json.loads(line.removeprefix("data: "))
        for line in response.text.splitlines()
        if line.startswith("data: ")
    ]


def item(response: httpx.Response) -> dict:
    [done] = [event for event in events(response) if event["type"] == "response.output_item.done"]
    return done["item"]


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if scenario.steps])
def test_every_answer_ends_with_the_same_usage(model, name) -> None:
    model.play(name)
    answers = [ask(model, CONTEXT, user("Hello.")) for _ in range(2)]
    assert events(answers[-1])[-1]["response"]["usage"] == USAGE
    assert USAGE["total_tokens"] == USAGE["input_tokens"] + USAGE["output_tokens"]


@pytest.mark.parametrize(
    ("prompt", "command"),
    [
        ("Say hello.", "echo observed"),
        ('Run `env | grep "A\\b"`.', 'env | grep "A\\b"'),
        ("Run `a`, then `b`.", "a"),
    ],
)
def test_the_command_may_be_that_of_the_prompt(model, prompt, command) -> None:
    model.play(Scenario((ToolCall("exec_command", {"cmd": COMMAND_OF_PROMPT}), Message("Done."))))
    assert json.loads(item(ask(model, CONTEXT, user(prompt)))["arguments"]) == {"cmd": command}


def test_a_tool_call_is_followed_by_the_answer_in_every_turn(model) -> None:
    model.play("tool call")
    first_turn = [CONTEXT, user("One."), output("observed")]
    assert item(ask(model, *first_turn[:2]))["name"] == "exec_command"
    assert item(ask(model, *first_turn))["phase"] == "final_answer"
    assert item(ask(model, *first_turn, ASSISTANT, user("Two.")))["name"] == "exec_command"
    assert item(ask(model, *first_turn, ASSISTANT, user("Two."), output("x")))["phase"] == "final_answer"


def test_a_notice_in_the_users_name_begins_no_turn(model) -> None:
    model.play("tool call")
    assert item(ask(model, user("One."), output("observed"), CONTEXT))["phase"] == "final_answer"


def test_a_sub_agent_has_steps_of_its_own_and_is_awaited_by_its_id(model) -> None:
    model.play("sub-agent")
    spawn = item(ask(model, user("Delegate.")))
    assert (spawn["namespace"], spawn["name"]) == ("multi_agent_v1", "spawn_agent")
    assert item(ask(model, user("Count the files.")))["content"][0]["text"] == "There are no files."
    wait = item(ask(model, user("Delegate."), output('{"agent_id": "a-1", "nickname": "Ada"}')))
    assert (wait["name"], wait["arguments"]) == ("wait_agent", '{"targets": ["a-1"]}')


def test_a_long_stream_comes_in_pieces_that_make_up_the_answer(model) -> None:
    model.play("long stream")
    answer = ask(model, user("Go on."))
    deltas = [event["delta"] for event in events(answer) if event["type"] == "response.output_text.delta"]
    assert len(deltas) == 100
    assert "".join(deltas) == item(answer)["content"][0]["text"]


def test_refusals_end_when_they_are_to_end(model) -> None:
    model.play("429 then OK")
    refusal, answer = ask(model, user("One.")), ask(model, user("One."))
    assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "0")
    assert item(answer)["content"][0]["text"] == "Hello after one refusal."

    model.play("500 for good")
    assert [ask(model, user("One.")).status_code for _ in range(3)] == [500, 500, 500]


def test_requests_are_kept_until_the_next_scenario(model) -> None:
    ask(model, user("One."))
    [request] = model.requests
    assert request.body["input"] == [user("One.")]
    assert request.headers["content-type"] == "application/json"
    model.play("plain turn")
    assert model.requests == []


@pytest.mark.parametrize(
    ("typed", "run"),
    [
        (["--version"], [*OURS, "--version"]),
        (["exec", "Say hello."], [*OURS, "exec", "Say hello."]),
        (["exec", "-c", "a=1", "-c", "b=2", "hi"], ["exec", *OURS, "-c", "a=1", "-c", "b=2", "hi"]),
        (["exec", "hi", "--config=a=1"], ["exec", "hi", *OURS, "--config=a=1"]),
        (["-c", "a=1", "exec", "-c", "b=2"], [*OURS, "-c", "a=1", "exec", *OURS, "-c", "b=2"]),
        (["exec", "--", "-c"], [*OURS, "exec", "--", "-c"]),
        (["exec", "--cd", "x", "-C", "y", "hi"], [*OURS, "exec", "--cd", "x", "-C", "y", "hi"]),
    ],
)
def test_overrides_stand_where_the_callers_own_do_not_undo_them(typed, run) -> None:
    assert with_overrides(typed, OURS) == run

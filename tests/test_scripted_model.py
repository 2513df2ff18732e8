"""The scripted model over both transports, and the way Codex is pointed at it, without Codex."""

import json
from contextlib import contextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from codex_langfuse.codex.scripted_model import (
    COMMAND_OF_PROMPT,
    HTTP_ONLY,
    SCENARIOS,
    Cut,
    Failure,
    Message,
    Refusal,
    Scenario,
    Script,
    ToolCall,
    running_scripted_model,
    usage_of,
)
from harness import web

pytestmark = pytest.mark.slow

CODE_MODE = {"type": "additional_tools", "tools": [{"type": "custom", "name": "exec"}]}
TRANSPORTS = ("http", "websocket")


def user(text: str) -> dict:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def output(text: str) -> dict:
    return {"type": "function_call_output", "call_id": "call_1", "output": text}


ASSISTANT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
CONTEXT = user("<environment_context>…</environment_context>")


@pytest.fixture(scope="module")
def running():
    with running_scripted_model() as model:
        yield model


@pytest.fixture
def model(running):
    running.play("plain turn")
    return running


@contextmanager
def websocket(model):
    with connect(f"{model.base_url.replace('http', 'ws', 1)}/responses") as connection:
        yield connection


def create(connection, *history: dict, **more) -> list[dict]:
    """Ask over a WebSocket, and return the events up to the one that ends the answer."""
    connection.send(json.dumps({"type": "response.create", "input": list(history), **more}))
    found = []
    while not found or found[-1]["type"] not in ("response.completed", "response.failed", "error"):
        found.append(json.loads(connection.recv(timeout=10)))
    return found


def ask(server, *history: dict, transport: str = "http", **more) -> list[dict]:
    """Ask once, and return the events."""
    if transport == "websocket":
        with websocket(server) as connection:
            return create(connection, *history, **more)
    body = {"input": list(history), "stream": True, **more}
    response = web.post(f"{server.base_url}/responses", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = response.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def items(events: list[dict]) -> list[dict]:
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


def item(events: list[dict]) -> dict:
    [only] = items(events)
    return only


ANSWERED = [name for name, scenario in SCENARIOS.items() if scenario.steps]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", ANSWERED)
def test_each_answer_is_whole_and_has_a_usage_of_its_own(model, name, transport) -> None:
    scenario = SCENARIOS[name]
    steps = tuple(step for step in scenario.steps if not isinstance(step, Cut))
    model.play(Scenario(steps, sub_agent_task=scenario.sub_agent_task))
    answers = [ask(model, CONTEXT, user("Hello."), transport=transport) for _ in range(3)]
    for number, events in enumerate(answers, 1):
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[0]["type"] == "response.created"
        assert events[-1]["response"]["usage"] == usage_of(number)
        # Each item begins, and what is streamed of it is what it has at its end.
        begun = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
        assert begun == [each["id"] for each in items(events)]
        streamed = "".join(event["delta"] for event in events if event["type"].endswith(".delta"))
        done = item(events)
        assert streamed in (
            done.get("arguments"),
            done.get("input"),
            done.get("content", [{}])[0].get("text"),
        )
    assert model.tokens == sum(usage_of(number)["total_tokens"] for number in (1, 2, 3))


@pytest.mark.parametrize("number", [1, 2, 7, 40])
def test_a_usage_adds_up_and_is_like_no_other(number) -> None:
    usage = usage_of(number)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"]["cached_tokens"] < usage["input_tokens"]
    assert usage["output_tokens_details"]["reasoning_tokens"] < usage["output_tokens"]
    assert usage["total_tokens"] < usage_of(number + 1)["total_tokens"]


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


@pytest.mark.parametrize(
    ("tools", "turn"),
    [
        ([CODE_MODE], {}),
        ([], {"tools": [{"type": "custom", "name": "exec"}]}),
        ([], {"tools": [{"type": "namespace", "name": "functions", "tools": CODE_MODE["tools"]}]}),
    ],
)
def test_in_code_mode_a_tool_is_asked_for_by_a_script(model, tools, turn) -> None:
    model.play(Scenario((ToolCall("add", {"a": 1}, "mcp__sums"), Message("Done."))))
    call = item(ask(model, *tools, user("One."), **turn))
    assert (call["type"], call["name"]) == ("custom_tool_call", "exec")
    assert 'await tools.mcp__sums__add({"a": 1});' in call["input"]


def test_collaboration_is_asked_for_directly_in_code_mode_too(model) -> None:
    model.play("sub-agent")
    call = item(ask(model, CODE_MODE, user("Delegate.")))
    assert (call["type"], call["namespace"], call["name"]) == (
        "function_call",
        "collaboration",
        "spawn_agent",
    )


def test_a_script_is_given_to_exec(model) -> None:
    model.play(Scenario((Script("text('hi')"),)))
    call = item(ask(model, CODE_MODE, user("One.")))
    assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "exec", "text('hi')")


def test_a_tool_call_is_followed_by_the_answer_in_every_turn(model) -> None:
    model.play("tool call")
    first_turn = [CONTEXT, user("One."), output("observed")]
    assert item(ask(model, *first_turn[:2]))["name"] == "exec_command"
    assert item(ask(model, *first_turn))["phase"] == "final_answer"
    assert item(ask(model, *first_turn, ASSISTANT, user("Two.")))["name"] == "exec_command"
    assert item(ask(model, *first_turn, ASSISTANT, user("Two."), output("x")))["phase"] == "final_answer"
    assert model.requests[-1].outputs == ["x"]


def test_over_a_websocket_the_model_remembers_what_came_before(model) -> None:
    model.play("tool call")
    with websocket(model) as connection:
        [*_, warmed] = create(connection, generate=False)
        [*_, called] = create(connection, user("One."), previous_response_id=warmed["response"]["id"])
        answer = create(connection, output("observed"), previous_response_id=called["response"]["id"])
    assert item(answer)["phase"] == "final_answer"
    assert model.requests[-1].outputs == ["observed"]
    kinds = [each["type"] for each in model.requests[-1].history]
    assert kinds == ["message", "function_call", "function_call_output"]


def test_a_warm_up_is_no_request_and_costs_nothing(model) -> None:
    events = ask(model, transport="websocket", generate=False, model="m", service_tier="priority")
    assert [event["type"] for event in events] == ["response.created", "response.completed"]
    assert "usage" not in events[-1]["response"]
    assert (model.requests, len(model.warm_ups), model.tokens) == ([], 1, 0)
    [charge] = model.charges
    assert (charge.warm_up, charge.usage, charge.transport) == (True, None, "websocket")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_charge_names_thread_turn_model_and_tier(model, transport) -> None:
    told = json.dumps({"thread_id": "t-1", "turn_id": "u-1", "request_kind": "turn"})
    answer = ask(
        model,
        user("One."),
        transport=transport,
        model="gpt-7",
        service_tier="priority",
        client_metadata={"x-codex-turn-metadata": told},
    )
    assert answer[-1]["response"]["service_tier"] == "priority"
    [charge] = model.charges
    assert (charge.thread, charge.turn, charge.model) == ("t-1", "u-1", "gpt-7")
    assert (charge.service_tier, charge.transport) == ("priority", transport)
    assert charge.usage == usage_of(1)
    assert "service_tier" not in ask(model, user("One."), transport=transport)[-1]["response"]


def test_a_notice_in_the_users_name_begins_no_turn(model) -> None:
    model.play("tool call")
    assert item(ask(model, user("One."), output("observed"), CONTEXT))["phase"] == "final_answer"


def test_a_sub_agent_has_steps_of_its_own(model) -> None:
    model.play("sub-agent")
    task = {
        "type": "agent_message",
        "recipient": "/root/count",
        "content": [
            {"type": "input_text", "text": "Message Type: NEW_TASK"},
            {"type": "encrypted_content", "encrypted_content": "Count the files."},
        ],
    }
    assert item(ask(model, user("Delegate."), task))["content"][0]["text"] == "There are no files."
    wait = item(ask(model, user("Delegate."), output('{"task_name": "/root/count"}')))
    assert wait["name"] == "wait_agent"


def test_reasoning_comes_before_the_answer(model) -> None:
    model.play(Scenario((Message("Done.", reasoning="First, think."),)))
    thought, answer = items(ask(model, user("One.")))
    assert (thought["type"], thought["summary"][0]["text"]) == ("reasoning", "First, think.")
    assert answer["content"][0]["text"] == "Done."


def test_a_lean_answer_has_three_events(model) -> None:
    model.play(Scenario((Message("Done."),), lean=True))
    kinds = [event["type"] for event in ask(model, user("One."))]
    assert kinds == ["response.created", "response.output_item.done", "response.completed"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_refusals_end_when_they_are_to_end(model, transport) -> None:
    model.play(Scenario((Message("Done."),), refusal=Refusal(429, "Slow down.", times=1, retry_after=0)))
    if transport == "http":
        refused = web.post(f"{model.base_url}/responses", json={"input": [user("One.")]})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "0")
        assert refused.json()["error"]["message"] == "Slow down."
    else:
        [refused] = ask(model, user("One."), transport=transport)
        assert (refused["status"], refused["error"]["message"]) == (429, "Slow down.")
    assert item(ask(model, user("One."), transport=transport))["content"][0]["text"] == "Done."
    assert [charge.usage for charge in model.charges] == [None, usage_of(1)]


def test_a_handshake_is_refused_with_its_status(model) -> None:
    model.play(Scenario((Message("Done."),), handshake=HTTP_ONLY))
    with pytest.raises(InvalidStatus, match="426"):
        ask(model, user("One."), transport="websocket")
    assert item(ask(model, user("One.")))["content"][0]["text"] == "Done."
    assert model.handshakes == 1


@pytest.mark.parametrize(
    ("transport", "error"), [("http", httpx.RemoteProtocolError), ("websocket", ConnectionClosed)]
)
def test_a_cut_closes_the_connection_in_mid_answer_and_the_next_request_goes_on(
    model, transport, error
) -> None:
    model.play("cut then OK")
    with pytest.raises(error):
        ask(model, user("One."), transport=transport)
    assert item(ask(model, user("One."), transport=transport))["content"][0]["text"] == "Hello after one cut."
    assert [charge.usage for charge in model.charges] == [None, usage_of(2)]


def test_a_failure_ends_the_stream_without_usage(model) -> None:
    model.play(Scenario((Failure("server_error", "It broke."),)))
    [*_, last] = ask(model, user("One."), transport="websocket")
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
    assert model.tokens == 0


def test_compaction_is_answered_however_it_is_asked_for(model) -> None:
    trigger = ask(model, user("One."), {"type": "compaction_trigger"}, transport="websocket")
    assert item(trigger)["type"] == "compaction"
    metadata = {"x-codex-turn-metadata": json.dumps({"request_kind": "compaction"})}
    in_words = ask(model, user("Summarize."), client_metadata=metadata)
    assert item(in_words)["type"] == "message"
    remote = web.post(f"{model.base_url}/responses/compact", json={"input": [user("One.")]}).json()
    assert [each["type"] for each in remote["output"]] == ["compaction"]
    assert [charge.usage for charge in model.charges] == [usage_of(1), usage_of(2), usage_of(3)]


def test_requests_are_kept_until_the_next_scenario(model) -> None:
    ask(model, user("One."))
    [request] = model.requests
    assert request.body["input"] == [user("One.")]
    assert request.headers["content-type"] == "application/json"
    model.play("plain turn")
    assert (model.requests, model.charges) == ([], [])

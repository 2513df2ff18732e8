"""Cases: no content leaves unless allowed, and only what is allowed."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from codex_langfuse.codex.scripted_model import Message, Scenario, ToolCall
from codex_langfuse.testplan import configurations, traffic
from codex_langfuse.testplan.proof import Proof, in_words
from codex_langfuse.testplan.reading import EVERYTHING
from codex_langfuse.testplan.stage import Stage
from codex_langfuse.testplan.wire import Exchange


@dataclass(frozen=True)
class Planted:
    """Words that occur nowhere else, and the key, none of them anybody's."""

    prompt: str
    answer: str
    command: str
    output: str
    instructions: str
    file_name: str
    key: str

    @classmethod
    def anew(cls) -> "Planted":
        """Make up new ones; the output's is made by the command and is not part of it."""
        token = secrets.token_hex(4)
        names = ("prompt", "answer", "command", "output", "instructions", "file")
        prompt, answer, command, output, instructions, file = (f"planted-{name}-{token}" for name in names)
        return cls(prompt, answer, command, output.upper(), instructions, file, f"sk-lf-planted-{token}")

    @property
    def words(self) -> tuple[str, ...]:
        """All of the words, without the key."""
        return (self.prompt, self.answer, self.command, self.output, self.instructions, self.file_name)

    def play(self) -> Scenario:
        """Return the scenario in which they occur: the command prints the file, and with it the output's."""
        read = {"cmd": f"echo {self.command}; cat {self.file_name}"}
        return Scenario((ToolCall("exec_command", read), Message(f"Done: {self.answer}")))

    def put_into(self, stage: Stage) -> None:
        """Write the file that the command reads, and the instructions for Codex."""
        (stage.codex.workspace / self.file_name).write_text(f"{self.output}\n", encoding="utf-8")
        (stage.codex.workspace / "AGENTS.md").write_text(f"{self.instructions}\n", encoding="utf-8")

    @property
    def request(self) -> str:
        """The prompt: its word, and what looks like a key."""
        return f"Hello {self.prompt}, my key is {self.key}, goodbye."


def off(stage: Stage, proof: Proof) -> None:
    """Search all that leaves, on both routes, for planted words."""
    langfuse = stage.langfuse()
    planted = Planted.anew()
    planted.put_into(stage)
    relayed = stage.relayed_turn(
        langfuse, scenario=planted.play(), prompt=planted.request, logging_content=True
    )
    to_relay = relayed.turn.exports(configurations.RELAY)
    findable = (planted.prompt, planted.answer, planted.command, planted.output)
    there = _found(to_relay, findable)
    proof.check(
        "planted", set(there) == set(findable), f"{traffic.requests(to_relay)}; found: {in_words(there)}"
    )
    folder = str(stage.codex.workspace)
    leaked = _found(relayed.delivered, (*planted.words, planted.key, folder))
    proof.check(
        "relay",
        relayed.delivered and not leaked,
        f"{traffic.requests(relayed.delivered)}; found: {in_words(leaked)}",
    )

    config = configurations.direct(langfuse.address, session=stage.session)
    config = config.replace("[otel]\n", "[otel]\nlog_user_prompt = true\nlog_agent_responses = true\n", 1)
    turn = stage.turn(config, scenario=planted.play(), prompt=planted.request, environment=langfuse.key)
    exports = turn.exports(langfuse.address)
    leaked = _found(exports, (*planted.words, planted.key))
    sent = exports and turn.run.returncode == 0
    proof.check("direct", sent and not leaked, f"{traffic.requests(exports)}; found: {in_words(leaked)}")
    places = sorted(
        {
            f"{span.name}: {name}"
            for span in turn.spans(langfuse.address)
            for name, value in span.attributes.items()
            if isinstance(value, str) and folder in value
        }
    )
    proof.check("folder", len(places) == 1, f"the folder is in: {in_words(places)}")

    all_shown, told, observations = traffic.arrived(langfuse, turn, stage.session, EVERYTHING)
    observations = [*observations, *relayed.shown.observations]
    text = json.dumps(observations)
    shown = [word for word in (*planted.words, planted.key) if word in text]
    content = [
        each["name"]
        for each in observations
        if not (traffic.only_numbers(each.get("input")) and traffic.only_numbers(each.get("output")))
    ]
    ids = {span.span_id for span in relayed.spans}
    everything = all_shown and ids and relayed.shown.ids == ids
    proof.check(
        "shown",
        everything and not shown and not content,
        f"{told}; {len(ids)} more through the relay; found: {in_words(shown)}; "
        f"with text in input or output: {in_words(content)}",
    )


def on(stage: Stage, proof: Proof) -> None:
    """Look for the planted words where each mode lets them through, and elsewhere."""
    langfuse = stage.langfuse()
    planted = Planted.anew()
    planted.put_into(stage)
    modes = {
        mode: stage.relayed_turn(
            langfuse, content=mode, scenario=planted.play(), prompt=planted.request, logging_content=True
        )
        for mode in ("prompts", "full")
    }
    agents = [(each["input"], each["output"]) for each in modes["prompts"].shown.of("AGENT")]
    right = len(agents) == 1 and planted.prompt in str(agents[0][0]) and planted.answer in str(agents[0][1])
    proof.check("prompts", right, f"input and output of the agent: {in_words(agents)}")
    of_tools = (planted.command, planted.output)
    leaked = _found(modes["prompts"].delivered, of_tools)
    proof.check("tools_hidden", modes["prompts"].delivered and not leaked, f"found: {in_words(leaked)}")
    tools = [
        (each["input"], each["output"])
        for each in modes["full"].shown.of("TOOL")
        if each["name"] == "exec_command"  # not the script that runs it
    ]
    right = len(tools) == 1 and planted.command in str(tools[0][0]) and planted.output in str(tools[0][1])
    proof.check("full", right, f"input and output of the tool: {in_words(tools)}")
    inputs = [str(each["input"]) for relayed in modes.values() for each in relayed.shown.of("AGENT")]
    leaked = _found([each for relayed in modes.values() for each in relayed.delivered], (planted.key,))
    around = len(inputs) == 2 and all("my key is" in text and "goodbye" in text for text in inputs)
    proof.check("masked", around and not leaked, f"{in_words(inputs)}; the key found {len(leaked)} times")


def _found(exchanges: Iterable[Exchange], words: Iterable[str]) -> list[str]:
    """Return the words that are anywhere in requests: in a body, a path or a header."""
    said = b"\0".join(
        b"\0".join([each.body, each.path.encode(), repr(sorted(each.headers.items())).encode()])
        for each in exchanges
    )
    return [word for word in words if word.encode() in said]


PLAYERS = {"privacy-off": off, "privacy-on": on}

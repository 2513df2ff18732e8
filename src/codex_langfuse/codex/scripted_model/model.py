"""The scripted model without its transports: what it answers to a request, and what it keeps of it."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codex_langfuse.codex.scripted_model.charges import Charge, usage_of
from codex_langfuse.codex.scripted_model.events import Event, Item, compaction, items_of, message, stream
from codex_langfuse.codex.scripted_model.request import ModelRequest, Transport
from codex_langfuse.codex.scripted_model.scenario import SCENARIOS, Cut, Failure, Refusal, Scenario, Step

#: The answer when a summary of the conversation is asked for in words.
_SUMMARY = "The conversation so far: a greeting."


@dataclass(frozen=True)
class ModelResponse:
    """What is sent for a request: ``events``, ``pause`` seconds between them, and then perhaps a ``cut``."""

    events: Sequence[Event]
    pause: float = 0.0
    cut: bool = False


@dataclass
class ScriptedModel:
    """A running scripted model.

    Attributes:
        base_url: what goes into ``openai_base_url``.
        requests: what Codex asked, oldest first, without warm-ups.
        warm_ups: the requests that only prepare a connection.
        charges: one for each request, warm-ups and compaction included, in the order of the answers.
        handshakes: how many WebSockets were opened or refused.
    """

    base_url: str
    scenario: Scenario
    requests: list[ModelRequest] = field(default_factory=list)
    warm_ups: list[ModelRequest] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    handshakes: int = 0
    _refused: dict[int, int] = field(default_factory=dict)
    _cuts: dict[str, int] = field(default_factory=dict)
    _histories: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    _answers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tokens(self) -> int:
        """All tokens charged."""
        return sum(charge.tokens for charge in self.charges)

    def play(self, scenario: str | Scenario) -> None:
        """Answer from now on by ``scenario``: a name from ``SCENARIOS``, or another scenario.

        Forgets earlier requests and charges.
        """
        with self._lock:
            self.scenario = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
            for kept in (self.requests, self.warm_ups, self.charges, self._refused, self._cuts):
                kept.clear()
            self.handshakes = self._answers = 0

    def handshake(self) -> Refusal | None:
        """Return what a WebSocket is refused with, None to open it."""
        with self._lock:
            self.handshakes += 1
            return self._refusal(self.scenario.handshake)

    def answer(
        self, transport: Transport, path: str, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> ModelResponse | Refusal:
        """Return what answers a request to ``/responses``."""
        with self._lock:
            before = self._histories.get(body.get("previous_response_id", ""), [])
            request = ModelRequest(transport, path, headers, body, [*before, *body["input"]])
            if request.warm_up:
                self.warm_ups.append(request)
                return self._streamed(request, [], None, usage=None)
            self.requests.append(request)
            step = self._refusal(self.scenario.refusal) or self._step(request)
            if isinstance(step, Refusal):
                self._charge(request, None)
                return step
            self._answers += 1
            usage = None if self.scenario.without_usage else self.scenario.usage or usage_of(self._answers)
            if request.compaction:
                local = request.body["input"][-1].get("type") != "compaction_trigger"
                item = message(_SUMMARY, self._answers) if local else compaction(self._answers)
                return self._streamed(request, [item], None, usage=usage)
            if isinstance(step, Cut | Failure):
                usage = None
            return self._streamed(request, items_of(step, self._answers, request), step, usage=usage)

    def compact(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to ``/responses/compact``."""
        with self._lock:
            request = ModelRequest("http", "/v1/responses/compact", headers, body, body["input"])
            self._answers += 1
            usage = usage_of(self._answers)
            self._charge(request, usage)
            return {"output": [compaction(self._answers)], "usage": usage}

    def _step(self, request: ModelRequest) -> Step:
        scenario = self.scenario
        steps = scenario.sub_agent_steps if request.prompt == scenario.sub_agent_task else scenario.steps
        # A cut leaves nothing in the history that the next request would have.
        done = len(request.outputs) + self._cuts.get(request.turn, 0)
        step = steps[min(done, len(steps) - 1)]
        if isinstance(step, Cut):
            self._cuts[request.turn] = self._cuts.get(request.turn, 0) + 1
        return step

    def _streamed(
        self, request: ModelRequest, items: list[Item], step: Step | None, *, usage: Mapping[str, Any] | None
    ) -> ModelResponse:
        self._charge(request, usage)
        response_id = f"resp_{len(self.charges)}"
        self._histories[response_id] = [*request.history, *items]
        tier = request.body.get("service_tier")
        response = {"id": response_id, "model": request.model, **({"service_tier": tier} if tier else {})}
        completed = {} if usage is None else {"usage": usage}
        scenario = self.scenario
        events = stream(items, response, completed, step=step, lean=scenario.lean or request.warm_up)
        return ModelResponse(events, scenario.pause, isinstance(step, Cut))

    def _refusal(self, refusal: Refusal | None) -> Refusal | None:
        if refusal is None:
            return None
        times = self._refused.get(id(refusal), 0)
        if refusal.times is not None and times >= refusal.times:
            return None
        self._refused[id(refusal)] = times + 1
        return refusal

    def _charge(self, request: ModelRequest, usage: Mapping[str, Any] | None) -> None:
        tier = request.body.get("service_tier")
        self.charges.append(
            Charge(
                thread=request.thread,
                turn=request.turn,
                model=request.model,
                transport=request.transport,
                warm_up=request.warm_up,
                service_tier=tier,
                usage=usage,
            )
        )

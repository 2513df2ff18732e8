"""The routes for what people do with observations: scores, prices, datasets, prompts, metrics.

Each answers in the order of Langfuse: the body as Next.js reads it, CORS, the method, what the mode of the
server does not have, the keys, the query, the body, the work.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from codex_langfuse.mock.langfuse import (
    dashboards,
    datasets,
    metrics,
    model_definitions,
    prompts,
    scores,
)
from codex_langfuse.mock.langfuse.answer import METHOD_NOT_ALLOWED, Answer, message
from codex_langfuse.mock.langfuse.auth import ApiKey, Refused, verify
from codex_langfuse.mock.langfuse.ingestion import FORBIDDEN, authorize
from codex_langfuse.mock.langfuse.ingestion_batch import answer_batch
from codex_langfuse.mock.langfuse.javascript import UNDEFINED
from codex_langfuse.mock.langfuse.legacy_read_api import answer_scores
from codex_langfuse.mock.langfuse.paging import page_of
from codex_langfuse.mock.langfuse.query_parameters import InvalidQueryError, parse_query
from codex_langfuse.mock.langfuse.request_body import LARGE_BODY, USUAL_BODY, BodyChecks, read_body
from codex_langfuse.mock.records import Records

EVENTS_ONLY = message(
    404,
    "This endpoint is not available on deployments running in Langfuse v4 events_only mode. "
    "Learn more about Langfuse v4 at: https://langfuse.com/docs/v4",
)


@dataclass
class Call:
    """A request to one of the routes.

    ``observations`` and ``scores`` are those that can be read by now, when asked for; ``names`` are the parts
    of the path that vary; ``now`` is in milliseconds since 1970.
    """

    headers: Mapping[str, str]
    query: str
    body: bytes
    keys: tuple[ApiKey, ...]
    records: Records
    observations: Callable[[], list[dict[str, Any]]]
    scores: Callable[[], list[dict[str, Any]]]
    delete_traces: Callable[[Iterable[str]], None]
    langfuse: int
    names: tuple[str, ...] = ()
    value: Any = None
    project_id: str = ""
    now: int = field(default_factory=lambda: int(time.time() * 1000))

    @property
    def size(self) -> int:
        """How many bytes the body has, and a little for what is made of it."""
        return len(self.body) + 500


Work = Callable[[Call], Answer]


@dataclass(frozen=True)
class _Endpoint:
    """What one method of a path does. ``is_open_to_bearers``: the public key is enough."""

    work: Work
    is_given_up: bool = False
    is_open_to_bearers: bool = False
    refuse: Callable[[Call], ApiKey | Answer] | None = None


@dataclass(frozen=True)
class ApiPath:
    """The methods of a path, and the largest body it takes; some paths Langfuse 3 does not have."""

    methods: Mapping[str, _Endpoint]
    largest: tuple[int, str]
    method_not_allowed: Answer = METHOD_NOT_ALLOWED
    is_new: bool = False

    def answer(self, method: str, call: Call) -> Answer:
        """Answer a request, whatever is in it."""
        try:
            return self._answer(method, call)
        except InvalidQueryError as refused:
            return refused.answer

    def _answer(self, method: str, call: Call) -> Answer:
        call.value = read_body(call.headers, call.body, self.largest)
        if isinstance(call.value, Answer):
            return call.value
        endpoint = self.methods.get(method)
        if endpoint is None:
            return self.method_not_allowed
        if endpoint.is_given_up and call.langfuse == 4:
            return EVENTS_ONLY
        key = endpoint.refuse(call) if endpoint.refuse else _authorized(call, endpoint.is_open_to_bearers)
        if isinstance(key, Answer):
            return key
        call.project_id = key.project_id or ""
        with call.records.lock:
            return endpoint.work(call)


def _delete_traces(call: Call) -> Answer:
    checks = BodyChecks()
    given = checks.object([], call.value)
    ids = checks.texts(["traceIds"], given.get("traceIds", UNDEFINED)) if given is not None else None
    if ids is not None and checks.is_final and not 1 <= len(ids) <= _MOST_DELETED:
        text = "At least 1 traceId is required."
        checks.custom(["traceIds"], text if not ids else _TOO_MANY_DELETED)
    checks.refuse_if_any()
    call.delete_traces(ids or ())
    return Answer.json(200, {"message": "Traces deleted successfully"})


def _delete_trace(call: Call) -> Answer:
    call.delete_traces([call.names[0]])
    return Answer.json(200, {"message": "Trace deleted successfully"})


_MOST_DELETED = 1000
_TOO_MANY_DELETED = f"Cannot specify more than {_MOST_DELETED} traces in a single request."
#: The one method of a trace's path that Langfuse 4 has not given up; the others are of ``legacy_read_api``.
DELETE_TRACES = ApiPath({"DELETE": _Endpoint(_delete_traces)}, USUAL_BODY)
DELETE_TRACE = ApiPath({"DELETE": _Endpoint(_delete_trace)}, USUAL_BODY)


def find_route(path: str) -> tuple[ApiPath, tuple[str, ...]] | None:
    """Return the route of a path, and the parts of the path that vary; ``None`` for a path of another."""
    for pattern, found in _ROUTES:
        if match := pattern.fullmatch(path):
            return found, tuple(unquote(part, errors="replace") for part in match.groups())
    return None


def _authorized(call: Call, is_open_to_bearers: bool) -> ApiKey | Answer:
    if is_open_to_bearers:
        outcome = verify(call.headers.get("authorization"), call.keys)
        if isinstance(outcome, Refused):
            return message(401, outcome.message)
        return outcome.key if outcome.access_level in ("project", "scores") else FORBIDDEN
    return authorize(call.headers, call.keys)


def _authorized_for_ingestion(call: Call) -> ApiKey | Answer:
    outcome = verify(call.headers.get("authorization"), call.keys)
    if isinstance(outcome, Refused):
        return Answer.json(401, {"error": "UnauthorizedError", "message": outcome.message})
    if outcome.key.project_id is None:
        text = "Missing projectId in scope. Are you using an organization key?"
        return Answer.json(401, {"error": "UnauthorizedError", "message": text})
    return outcome.key


def _authorized_for_prompts(method: str) -> Callable[[Call], ApiKey | Answer]:
    def authorized(call: Call) -> ApiKey | Answer:
        outcome = verify(call.headers.get("authorization"), call.keys)
        if isinstance(outcome, Refused):
            return message(401, outcome.message, "UnauthorizedError")
        if outcome.access_level != "project":
            text = f"Access denied - need to use basic auth with secret key to {method} prompts"
            return message(403, text, "ForbiddenError")
        return outcome.key

    return authorized


# --- scores -------------------------------------------------------------------------------------------------


def _post_score(call: Call) -> Answer:
    body = scores.check_score(call.value)
    complaints = scores.score_event_complaint({"id": "e", "timestamp": "2000-01-01T00:00:00Z", "body": body})
    if complaints:
        return message(400, datasets.indented(complaints))
    _keep_score(call, body, None)
    return Answer.json(200, {"id": body["id"]})


def _keep_score(call: Call, body: dict[str, Any], timestamp: str | None) -> None:
    """Keep what the worker makes of a score; one that it gives up on is lost without a message."""
    score = scores.kept_score(body, project_id=call.project_id, now=call.now, timestamp=timestamp)
    if score is None:
        return
    earlier = call.records.scores.get(score["id"])
    if earlier is not None:
        score["createdAt"] = earlier["createdAt"]
    call.records.scores.put(score["id"], score, call.size)


def _delete_score(call: Call) -> Answer:
    call.records.scores.drop(call.names[0])
    return Answer.json(202, {"message": "Score deletion queued successfully"})


def _get_scores_v3(call: Call) -> Answer:
    return scores.answer_scores_v3(call.query, call.scores())


def _get_scores(version: int) -> Work:
    def work(call: Call) -> Answer:
        return answer_scores(call.query, call.scores(), call.observations(), version=version)

    return work


def _get_score(call: Call) -> Answer:
    score = next((each for each in call.scores() if each["id"] == call.names[0]), None)
    if score is None:
        return message(404, "Score not found", "LangfuseNotFoundError")
    return Answer.json(200, scores.shown_legacy(score))


def _post_batch(call: Call) -> Answer:
    answer, accepted = answer_batch(call.value, langfuse=call.langfuse)
    for event in accepted:
        _keep_score(call, event["body"], event["timestamp"])
    return answer


# --- models -------------------------------------------------------------------------------------------------


def _post_model(call: Call) -> Answer:
    given = model_definitions.check_definition(call.value)
    if refusal := model_definitions.refusal_of_pattern(given["matchPattern"]):
        return refusal
    shelf = call.records.models
    name = given["modelName"]
    if any(definition["modelName"] == name for definition in shelf):
        return message(400, f"Model name '{name}' already exists in project", "InvalidRequestError")
    definition = model_definitions.make_definition(given, now=call.now)
    shelf.put(definition["id"], definition, call.size)
    _price_anew(call)
    return Answer.json(200, definition)


def _get_models(call: Call) -> Answer:
    return page_of(parse_query(call.query), [*call.records.models, *model_definitions.MANAGED])


def _get_model(call: Call) -> Answer:
    definition = call.records.models.get(call.names[0])
    if definition is None:
        return message(404, "No model with this id found.", "LangfuseNotFoundError")
    return Answer.json(200, definition)


def _delete_model(call: Call) -> Answer:
    if call.records.models.drop(call.names[0]) is None:
        text = (
            "No model with this id found. Note: You cannot delete built-in models, override them with a "
            "model with the same name."
        )
        return message(404, text, "LangfuseNotFoundError")
    _price_anew(call)
    return Answer.json(200, {"message": "Model successfully deleted"})


def _price_anew(call: Call) -> None:
    records = call.records
    records.priced = tuple(model_definitions.priced_model(definition) for definition in records.models)


# --- datasets -----------------------------------------------------------------------------------------------


def _post_dataset(call: Call) -> Answer:
    given = datasets.check_dataset(call.value)
    shelf = call.records.datasets
    kept = datasets.kept_dataset(given, shelf.get(given["name"]), project_id=call.project_id, now=call.now)
    shelf.put(kept["name"], kept, call.size)
    return Answer.json(200, kept)


def _get_datasets(call: Call) -> Answer:
    return page_of(parse_query(call.query), _newest_first(call.records.datasets))


def _get_dataset(call: Call) -> Answer:
    dataset = call.records.datasets.get(unquote(call.names[0], errors="replace"))
    if dataset is None:
        return message(404, "Dataset not found", "LangfuseNotFoundError")
    return Answer.json(200, dataset)


def _newest_first(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    # Python keeps the order of what is equal, reversed or not: first by id, then by time.
    by_id = sorted(found, key=lambda each: each["id"].encode("utf-8", "surrogatepass"))
    return sorted(by_id, key=lambda each: each["createdAt"], reverse=True)


def _post_item(call: Call) -> Answer:
    given = datasets.check_item(call.value)
    dataset = call.records.datasets.get(given["datasetName"])
    if dataset is None:
        text = f"Dataset {given['datasetName']} not found for project {call.project_id}"
        return message(404, text, "LangfuseNotFoundError")
    earlier = call.records.items.get(given["id"]) if given.get("id") else None
    if earlier is not None and earlier["datasetId"] != dataset["id"]:
        return datasets.other_dataset(given["id"], earlier["datasetId"])
    item = datasets.kept_item(given, earlier, dataset, now=call.now)
    call.records.items.put(item["id"], item, call.size)
    return Answer.json(200, item)


def _get_items(call: Call) -> Answer:
    query = parse_query(call.query)
    if query.get("version"):
        return message(501, "The mock keeps only the newest version of dataset items.")
    filters = ("sourceTraceId", "sourceObservationId")
    wanted: dict[str, Any] = {name: query[name] for name in filters if name in query}
    if name := query.get("datasetName"):
        dataset = call.records.datasets.get(name) if isinstance(name, str) else None
        if dataset is None:
            return message(404, "Dataset not found", "LangfuseNotFoundError")
        wanted["datasetId"] = dataset["id"]
    found = [
        item
        for item in call.records.items
        if item["status"] == "ACTIVE" and all(item[key] == value for key, value in wanted.items())
    ]
    return page_of(query, _newest_first(found))


def _get_item(call: Call) -> Answer:
    item = call.records.items.get(call.names[0])
    if item is None:
        return message(404, "Dataset item not found", "LangfuseNotFoundError")
    return Answer.json(200, item)


def _delete_item(call: Call) -> Answer:
    if call.records.items.drop(call.names[0]) is None:
        text = f"Dataset item with id {call.names[0]} not found for project {call.project_id}"
        return message(404, text, "LangfuseNotFoundError")
    return Answer.json(200, {"message": "Dataset item successfully deleted"})


def _post_run_item(call: Call) -> Answer:
    given = datasets.check_run_item(call.value)
    if call.langfuse == 3:
        return message(501, "The mock keeps no dataset runs of Langfuse 3.")
    item = call.records.items.get(given["datasetItemId"])
    if item is None or item["status"] != "ACTIVE":
        return message(404, "Dataset item not found", "LangfuseNotFoundError")
    return Answer.json(200, datasets.run_item(given, item, project_id=call.project_id, now=call.now))


def _get_run_items(_call: Call) -> Answer:
    return message(501, "The mock keeps no dataset runs of Langfuse 3.")


# --- prompts ------------------------------------------------------------------------------------------------


def _versions(call: Call, name: str) -> list[dict[str, Any]]:
    found = [prompt for prompt in call.records.prompts if prompt["name"] == name]
    return sorted(found, key=lambda prompt: prompt["version"])


def _post_prompt(call: Call) -> Answer:
    given = prompts.check_prompt(call.value)
    earlier = _versions(call, given["name"])
    prompt = prompts.kept_prompt(given, earlier, project_id=call.project_id, now=call.now)
    shelf = call.records.prompts
    for version in earlier:
        changed = prompts.without_labels(version, prompt["labels"], prompt["tags"], now=call.now)
        if changed is not version:
            shelf.put((version["name"], version["version"]), changed, len(str(changed["prompt"])) + 500)
    shelf.put((prompt["name"], prompt["version"]), prompt, call.size)
    return Answer.json(201, prompt)


def _get_prompts(call: Call) -> Answer:
    query = parse_query(call.query)
    unplayed = sorted(set(query) & {"version", "label", "tag", "fromUpdatedAt", "toUpdatedAt"})
    if unplayed:
        return message(501, f"The mock lists prompts by name, not by {', '.join(unplayed)}.")
    names = sorted({prompt["name"] for prompt in call.records.prompts})
    wanted = query.get("name")
    found = [prompts.listed_prompt(_versions(call, name)) for name in names if wanted in (None, "", name)]
    answer = page_of(query, found, default=10)
    body = json.loads(answer.body)
    return Answer.json(answer.status, {**body, "pagination": body["meta"]})


def _get_prompt(call: Call) -> Answer:
    return prompts.answer_prompt(call.names[0], parse_query(call.query), _versions(call, call.names[0]))


# --- metrics ------------------------------------------------------------------------------------------------


def _get_metrics(call: Call) -> Answer:
    if call.langfuse == 3:
        return metrics.UNAVAILABLE
    return metrics.answer_metrics(call.query, call.observations(), call.scores())


# --- dashboards ---------------------------------------------------------------------------------------------


def _authorized_for_dashboards(call: Call) -> ApiKey | Answer:
    outcome = verify(call.headers.get("authorization"), call.keys)
    if isinstance(outcome, Refused):
        return dashboards.refused_key(401, outcome.message)
    if outcome.access_level != "project":
        text = "Access denied - insufficient permissions for this endpoint"
        return dashboards.refused_key(403, text)
    return outcome.key


def _get_widgets(call: Call) -> Answer:
    return dashboards.answer_list(call.query, call.records.widgets)


def _post_widget(call: Call) -> Answer:
    return _kept_widget(call, dashboards.make_widget(call.value, now=call.now))


def _kept_widget(call: Call, widget: dict[str, Any]) -> Answer:
    call.records.widgets.put(widget["id"], widget, call.size)
    return Answer.json(200, widget)


def _widget(call: Call) -> dict[str, Any]:
    return dashboards.found_in(call.records.widgets, "Dashboard widget", call.names[0])


def _patch_widget(call: Call) -> Answer:
    changed = dashboards.change_widget(_widget(call), call.value, now=call.now)
    return _kept_widget(call, changed)


def _delete_widget(call: Call) -> Answer:
    widget = _widget(call)
    refusal = dashboards.in_use(widget, call.records.dashboards)
    if refusal is not None:
        return refusal
    call.records.widgets.drop(widget["id"])
    return Answer.json(200, {"message": "Dashboard widget successfully deleted"})


def _get_dashboards(call: Call) -> Answer:
    return dashboards.answer_list(call.query, call.records.dashboards)


def _kept_dashboard(call: Call, dashboard: dict[str, Any], shown: dict[str, Any] | None = None) -> Answer:
    size = call.size + len(str(dashboard["definition"]))
    call.records.dashboards.put(dashboard["id"], dashboard, size)
    return Answer.json(200, dashboard if shown is None else shown)


def _post_dashboard(call: Call) -> Answer:
    return _kept_dashboard(call, dashboards.make_dashboard(call.value, call.records.widgets, now=call.now))


def _dashboard(call: Call) -> dict[str, Any]:
    return dashboards.found_in(call.records.dashboards, "Dashboard", call.names[0])


def _patch_dashboard(call: Call) -> Answer:
    widgets = call.records.widgets
    changed = dashboards.change_dashboard(_dashboard(call), call.value, widgets, now=call.now)
    return _kept_dashboard(call, changed)


def _delete_dashboard(call: Call) -> Answer:
    call.records.dashboards.drop(_dashboard(call)["id"])
    return Answer.json(200, {"message": "Dashboard successfully deleted"})


def _post_placement(call: Call) -> Answer:
    changed, placed = dashboards.place(_dashboard(call), call.value, call.records.widgets, now=call.now)
    return _kept_dashboard(call, changed, placed)


def _patch_placement(call: Call) -> Answer:
    changed, placed = dashboards.move(_dashboard(call), call.names[1], call.value, now=call.now)
    return _kept_dashboard(call, changed, placed)


def _delete_placement(call: Call) -> Answer:
    changed = dashboards.take_away(_dashboard(call), call.names[1], now=call.now)
    return _kept_dashboard(call, changed, {"message": "Placement successfully deleted"})


def _unstable(**methods: Work) -> ApiPath:
    endpoints = {name: _Endpoint(work, refuse=_authorized_for_dashboards) for name, work in methods.items()}
    return ApiPath(endpoints, USUAL_BODY, dashboards.METHOD_NOT_ALLOWED, is_new=True)


def _route(largest: tuple[int, str] = USUAL_BODY, **methods: _Endpoint) -> ApiPath:
    return ApiPath(methods, largest)


_ROUTES = tuple(
    (re.compile(f"/api/public/{pattern}"), route)
    for pattern, route in (
        (
            "scores",
            _route(
                POST=_Endpoint(_post_score, is_open_to_bearers=True),
                GET=_Endpoint(_get_scores(1), is_given_up=True),
            ),
        ),
        (
            "scores/([^/]+)",
            _route(GET=_Endpoint(_get_score, is_given_up=True), DELETE=_Endpoint(_delete_score)),
        ),
        ("v2/scores", _route(GET=_Endpoint(_get_scores(2), is_given_up=True))),
        ("v2/scores/([^/]+)", _route(GET=_Endpoint(_get_score, is_given_up=True))),
        ("v3/scores", _route(GET=_Endpoint(_get_scores_v3))),
        ("ingestion", _route(LARGE_BODY, POST=_Endpoint(_post_batch, refuse=_authorized_for_ingestion))),
        ("models", _route(GET=_Endpoint(_get_models), POST=_Endpoint(_post_model))),
        ("models/([^/]+)", _route(GET=_Endpoint(_get_model), DELETE=_Endpoint(_delete_model))),
        ("v2/metrics", _route(GET=_Endpoint(_get_metrics))),
        ("unstable/dashboard-widgets", _unstable(GET=_get_widgets, POST=_post_widget)),
        (
            "unstable/dashboard-widgets/([^/]+)",
            _unstable(
                GET=lambda call: Answer.json(200, _widget(call)), PATCH=_patch_widget, DELETE=_delete_widget
            ),
        ),
        ("unstable/dashboards", _unstable(GET=_get_dashboards, POST=_post_dashboard)),
        (
            "unstable/dashboards/([^/]+)",
            _unstable(
                GET=lambda call: Answer.json(200, _dashboard(call)),
                PATCH=_patch_dashboard,
                DELETE=_delete_dashboard,
            ),
        ),
        ("unstable/dashboards/([^/]+)/placements", _unstable(POST=_post_placement)),
        (
            "unstable/dashboards/([^/]+)/placements/([^/]+)",
            _unstable(PATCH=_patch_placement, DELETE=_delete_placement),
        ),
        ("v2/datasets", _route(GET=_Endpoint(_get_datasets), POST=_Endpoint(_post_dataset))),
        ("v2/datasets/([^/]+)", _route(GET=_Endpoint(_get_dataset))),
        ("dataset-items", _route(LARGE_BODY, GET=_Endpoint(_get_items), POST=_Endpoint(_post_item))),
        ("dataset-items/([^/]+)", _route(GET=_Endpoint(_get_item), DELETE=_Endpoint(_delete_item))),
        (
            "dataset-run-items",
            _route(GET=_Endpoint(_get_run_items, is_given_up=True), POST=_Endpoint(_post_run_item)),
        ),
        (
            "v2/prompts",
            _route(
                GET=_Endpoint(_get_prompts, refuse=_authorized_for_prompts("GET")),
                POST=_Endpoint(_post_prompt, refuse=_authorized_for_prompts("POST")),
            ),
        ),
        (
            "v2/prompts/([^/]+)",
            _route(GET=_Endpoint(_get_prompt, refuse=_authorized_for_prompts("GET"))),
        ),
    )
)

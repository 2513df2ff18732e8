"""The routes that ask for keys and answer in JSON: observations, scores, prices, datasets, prompts, metrics.

Each answers in the order of Langfuse: the body as Next.js reads it, the method, what the mode of the server
does not have, the keys, the query, the body, the work.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from codex_langfuse.mock.langfuse import (
    dashboards,
    datasets,
    legacy_read_api,
    metrics,
    model_definitions,
    prompts,
    read_api,
    scores,
)
from codex_langfuse.mock.langfuse.answer import METHOD_NOT_ALLOWED, Answer, message
from codex_langfuse.mock.langfuse.auth import ApiKey, Refused, verify
from codex_langfuse.mock.langfuse.checks import Checks, RefusedError, invalid_request, not_played, parse_query
from codex_langfuse.mock.langfuse.ingestion import authorize
from codex_langfuse.mock.langfuse.paging import page_and_limit, page_of
from codex_langfuse.mock.langfuse.request_body import LARGE_BODY, USUAL_BODY, read_body
from codex_langfuse.mock.records import Records

EVENTS_ONLY = message(
    404,
    "This endpoint is not available on deployments running in Langfuse v4 events_only mode. "
    "Learn more about Langfuse v4 at: https://langfuse.com/docs/v4",
)


@dataclass
class Call:
    """A request to one of the routes.

    ``path`` is without the query; ``observations`` and ``scores`` are those that can be read by now, when
    asked for; ``names`` are the parts of the path that vary; ``value`` is what the body says, and ``key``
    whose it is, once both are checked; ``now`` is in milliseconds since 1970.
    """

    path: str
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
    key: ApiKey | None = None
    now: int = field(default_factory=lambda: int(time.time() * 1000))

    @property
    def project_id(self) -> str:
        """The project that the keys belong to."""
        return (self.key.project_id if self.key else None) or ""

    @property
    def size(self) -> int:
        """How many bytes the body has, and a little for what is made of it."""
        return len(self.body) + 500


Work = Callable[[Call], Answer]


def _authorized(call: Call) -> ApiKey | Answer:
    return authorize(call.headers, call.keys)


def _authorized_to_read(call: Call) -> ApiKey | Answer:
    return authorize(call.headers, call.keys, read_only=True)


@dataclass(frozen=True)
class _Endpoint:
    """What one method of a path does, and for whom. ``is_given_up``: Langfuse 4 has it no more."""

    work: Work
    authorize: Callable[[Call], ApiKey | Answer] = _authorized
    is_given_up: bool = False


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
        except RefusedError as refused:
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
        key = endpoint.authorize(call)
        if isinstance(key, Answer):
            return key
        call.key = key
        with call.records.lock:
            return endpoint.work(call)


def find_route(path: str, langfuse: int) -> tuple[ApiPath, tuple[str, ...]] | None:
    """Return the route of a path, and the parts of the path that vary; ``None`` for a path without one."""
    for pattern, found in _ROUTES:
        if (match := pattern.fullmatch(path)) and not (found.is_new and langfuse == 3):
            return found, tuple(unquote(part, errors="replace") for part in match.groups())
    return None


def _not_played(call: Call) -> Answer:
    raise not_played(f"The mock does not play {call.path}. Langfuse does.")


# --- what arrived -------------------------------------------------------------------------------------------


def _authorized_for_projects(call: Call) -> ApiKey | Answer:
    outcome = verify(call.headers.get("authorization"), call.keys)
    if isinstance(outcome, Refused):
        return message(401, outcome.message)
    if outcome.access_level != "project":
        return message(403, "Invalid API key. Are you using an organization key?")
    return outcome.key


def _get_projects(call: Call) -> Answer:
    organization = {"id": call.key.organization_id if call.key else "", "name": "Org"}
    project = {"id": call.project_id, "name": "Codex", "organization": organization, "metadata": {}}
    return Answer.json(200, {"data": [project]})


def _get_observations(call: Call) -> Answer:
    if call.langfuse == 3:
        return message(
            404,
            "The observations v2 API is only available in a Langfuse v4 write mode. "
            "Learn more at: https://langfuse.com/docs/v4",
            "LangfuseNotFoundError",
        )
    return read_api.answer_observations(call.query, call.observations())


_MOST_DELETED = 1000


def _delete_traces(call: Call) -> Answer:
    checks = Checks()
    listed = checks.items(["traceIds"], checks.object([], call.value).get("traceIds"), required=True)
    ids = [checks.text(path, name, required=True) or "" for path, name in listed]
    if not ids:
        checks.complain(["traceIds"], "At least 1 traceId is required.")
    if len(ids) > _MOST_DELETED:
        checks.complain(["traceIds"], f"Cannot specify more than {_MOST_DELETED} traces in a single request.")
    checks.refuse_if_any()
    call.delete_traces(ids)
    return Answer.json(200, {"message": "Traces deleted successfully"})


def _delete_trace(call: Call) -> Answer:
    call.delete_traces([call.names[0]])
    return Answer.json(200, {"message": "Trace deleted successfully"})


# --- scores -------------------------------------------------------------------------------------------------


def _post_score(call: Call) -> Answer:
    score = scores.kept_score(scores.check_score(call.value), project_id=call.project_id, now=call.now)
    earlier = call.records.scores.get(score["id"])
    if earlier is not None:
        score["createdAt"] = earlier["createdAt"]
    call.records.scores.put(score["id"], score, call.size)
    return Answer.json(200, {"id": score["id"]})


def _delete_score(call: Call) -> Answer:
    call.records.scores.drop(call.names[0])
    return Answer.json(202, {"message": "Score deletion queued successfully"})


# --- models -------------------------------------------------------------------------------------------------


def _post_model(call: Call) -> Answer:
    given = model_definitions.check_definition(call.value)
    model_definitions.check_pattern(given["matchPattern"])
    shelf = call.records.models
    name = given["modelName"]
    if any(definition["modelName"] == name for definition in shelf):
        raise invalid_request(f"Model name '{name}' already exists in project")
    definition = model_definitions.make_definition(given, now=call.now)
    shelf.put(definition["id"], definition, call.size)
    _price_anew(call)
    return Answer.json(200, definition)


def _get_models(call: Call) -> Answer:
    return _page(call, [*call.records.models, *model_definitions.MANAGED])


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


def _page(call: Call, found: list[dict[str, Any]]) -> Answer:
    checks = Checks()
    page, limit = page_and_limit(checks, parse_query(call.query))
    checks.refuse_if_any()
    return page_of(found, page, limit)


# --- datasets -----------------------------------------------------------------------------------------------


def _post_dataset(call: Call) -> Answer:
    given = datasets.check_dataset(call.value)
    shelf = call.records.datasets
    kept = datasets.kept_dataset(given, shelf.get(given["name"]), project_id=call.project_id, now=call.now)
    shelf.put(kept["name"], kept, call.size)
    return Answer.json(200, kept)


def _get_dataset(call: Call) -> Answer:
    # The Python SDK quotes a name twice.
    dataset = call.records.datasets.get(unquote(call.names[0], errors="replace"))
    if dataset is None:
        return message(404, "Dataset not found", "LangfuseNotFoundError")
    return Answer.json(200, dataset)


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
    unplayed = sorted(set(query) - {"datasetName", "page", "limit"})
    if unplayed:
        raise not_played(f"The mock plays no {', '.join(unplayed)} for the list of dataset items.")
    name = query.get("datasetName")
    dataset = call.records.datasets.get(name) if isinstance(name, str) else None
    if name and dataset is None:
        return message(404, "Dataset not found", "LangfuseNotFoundError")
    found = [
        item
        for item in reversed(list(call.records.items))
        if item["status"] == "ACTIVE" and (dataset is None or item["datasetId"] == dataset["id"])
    ]
    return _page(call, sorted(found, key=lambda item: str(item["createdAt"]), reverse=True))


def _post_run_item(call: Call) -> Answer:
    given = datasets.check_run_item(call.value)
    if call.langfuse == 3:
        raise not_played("The mock keeps no dataset runs of Langfuse 3.")
    item = call.records.items.get(given["datasetItemId"])
    if item is None or item["status"] != "ACTIVE":
        return message(404, "Dataset item not found", "LangfuseNotFoundError")
    return Answer.json(200, datasets.run_item(given, item, project_id=call.project_id, now=call.now))


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


def _get_prompt(call: Call) -> Answer:
    return prompts.answer_prompt(call.names[0], parse_query(call.query), _versions(call, call.names[0]))


# --- metrics ------------------------------------------------------------------------------------------------


def _get_metrics(call: Call) -> Answer:
    if call.langfuse == 3:
        return metrics.UNAVAILABLE
    return metrics.answer_metrics(call.query, call.observations())


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
    endpoints = {name: _Endpoint(work, _authorized_for_dashboards) for name, work in methods.items()}
    return ApiPath(endpoints, USUAL_BODY, dashboards.METHOD_NOT_ALLOWED, is_new=True)


def _route(largest: tuple[int, str] = USUAL_BODY, **methods: _Endpoint) -> ApiPath:
    return ApiPath(methods, largest)


def _given_up(work: Work = _not_played) -> _Endpoint:
    return _Endpoint(work, _authorized_to_read, is_given_up=True)


#: What Langfuse has and no page, example or command uses.
_UNPLAYED = _Endpoint(_not_played)

_ROUTES = tuple(
    (re.compile(f"/api/public/{pattern}"), route)
    for pattern, route in (
        ("projects", _route(GET=_Endpoint(_get_projects, _authorized_for_projects))),
        ("v2/observations", _route(GET=_Endpoint(_get_observations, _authorized_to_read))),
        (
            "traces",
            _route(
                GET=_given_up(lambda call: legacy_read_api.answer_traces(call.query, call.observations())),
                POST=_given_up(),
                DELETE=_Endpoint(_delete_traces),
            ),
        ),
        (
            "traces/([^/]+)",
            _route(
                GET=_given_up(lambda call: legacy_read_api.answer_trace(call.names[0], call.observations())),
                DELETE=_Endpoint(_delete_trace),
            ),
        ),
        (
            "observations",
            _route(
                GET=_given_up(
                    lambda call: legacy_read_api.answer_observations(call.query, call.observations())
                )
            ),
        ),
        (
            "(?:observations/[^/]+|sessions(?:/[^/]+)?|v2/scores(?:/[^/]+)?|metrics(?:/daily)?)",
            _route(GET=_given_up()),
        ),
        ("scores", _route(POST=_Endpoint(_post_score), GET=_given_up())),
        ("scores/([^/]+)", _route(DELETE=_Endpoint(_delete_score), GET=_given_up())),
        (
            "v3/scores",
            _route(GET=_Endpoint(lambda call: scores.answer_scores(call.query, call.scores()))),
        ),
        ("models", _route(GET=_Endpoint(_get_models), POST=_Endpoint(_post_model))),
        ("models/([^/]+)", _route(GET=_UNPLAYED, DELETE=_Endpoint(_delete_model))),
        ("v2/metrics", _route(GET=_Endpoint(_get_metrics))),
        ("v2/datasets", _route(GET=_UNPLAYED, POST=_Endpoint(_post_dataset))),
        ("v2/datasets/([^/]+)", _route(GET=_Endpoint(_get_dataset))),
        ("dataset-items", _route(LARGE_BODY, GET=_Endpoint(_get_items), POST=_Endpoint(_post_item))),
        ("dataset-items/[^/]+", _route(GET=_UNPLAYED, DELETE=_UNPLAYED)),
        ("dataset-run-items", _route(GET=_given_up(), POST=_Endpoint(_post_run_item))),
        ("v2/prompts", _route(GET=_UNPLAYED, POST=_Endpoint(_post_prompt))),
        ("v2/prompts/([^/]+)", _route(GET=_Endpoint(_get_prompt))),
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
    )
)

"""What runs each case: a function by the id of the case, which makes the checks that its definition names."""

from collections.abc import Callable, Mapping

from codex_langfuse.testplan import (
    cases_of_changes,
    cases_of_configuration,
    cases_of_events,
    cases_of_load,
    cases_of_privacy,
    cases_of_scenarios,
    cases_of_tls,
)
from codex_langfuse.testplan.proof import Proof
from codex_langfuse.testplan.stage import Stage

Player = Callable[[Stage, Proof], None]

PLAYERS: Mapping[str, Player] = {
    **cases_of_configuration.PLAYERS,
    **cases_of_scenarios.PLAYERS,
    **cases_of_events.PLAYERS,
    **cases_of_privacy.PLAYERS,
    **cases_of_tls.PLAYERS,
    **cases_of_load.PLAYERS,
    **cases_of_changes.PLAYERS,
}

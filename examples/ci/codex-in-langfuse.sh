#!/usr/bin/env bash
# Run `codex exec` in a job, with a relay beside it, so that the job is one trace in Langfuse.
#
#   JOB=an-id-of-the-job ./codex-in-langfuse.sh ARGUMENTS OF codex exec
#
# LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL go to the relay, not to Codex. Prints the
# id of the trace, and writes turns.json (what became of the turns) and relay.log. Ends with Codex's exit
# status, or with 1 if Codex succeeded and a turn is not in Langfuse.
set -uo pipefail

state=$(mktemp -d)
codex-langfuse relay --state "$state" --environment ci >relay.log 2>&1 &
curl -fsS --retry 30 --retry-connrefused --retry-delay 1 -o relay.health http://127.0.0.1:4318/healthz ||
  { cat relay.log; exit 1; }
unset LANGFUSE_PUBLIC_KEY LANGFUSE_SECRET_KEY LANGFUSE_BASE_URL
codex-langfuse config relay --yes >config.log 2>&1 || { cat config.log; exit 1; }

# The id of the trace follows from the job: anybody who knows the job finds it. 01: sampled.
trace=$(printf '%s' "$JOB" | sha256sum | cut -c 1-32)
export TRACEPARENT="00-$trace-${trace:0:16}-01"
export OTEL_RESOURCE_ATTRIBUTES="ci.job=$JOB"
export OTEL_BLRP_SCHEDULE_DELAY=1 # milliseconds: a run that fails at once arrives, too
echo "trace $trace"

codex exec "$@"
status=$?

codex-langfuse relay --stop --finish-on-stop --state "$state"
codex-langfuse relay --status --json --since 1d --state "$state" >turns.json
accepted=$?
[ "$status" = 0 ] && status=$accepted
exit "$status"

"""What surrounds the turns of a conversation: the Codex it runs in, its settings, who it runs for."""

from __future__ import annotations

import json

from codex_langfuse.codex.telemetry import CodexEvent, Process
from codex_langfuse.masking import mask_secrets
from codex_langfuse.relay import names
from codex_langfuse.relay.policy import Policy

#: Prefixes of what Langfuse shows as metadata.
_METADATA = ("langfuse.trace.metadata.", "langfuse.observation.metadata.", "langfuse.metadata.")
_LONGEST_LABEL = 200
_MOST_LABELS = 50


class SessionInfo:
    """From the resource of a batch, `codex.conversation_starts` and `codex.user_prompt`.

    Everything but account_id and email has passed `names`; those two leave only as `Policy.user` says.
    """

    __slots__ = (
        *(
            "account_id",
            "approval_policy",
            "auth_mode",
            "auto_compact_token_limit",
            "context_window",
            "email",
        ),
        *("environment", "labels", "mcp_server_count", "mcp_servers", "model", "originator", "provider"),
        *("reasoning_effort", "reasoning_summary", "resource", "sandbox_policy", "service_name", "version"),
    )

    def __init__(self, process: Process) -> None:
        self.service_name = names.name(process.service_name) if process.service_name else None
        self.version = names.version(process.version) if process.version else None
        self.environment = names.environment(process.environment) if process.environment else None
        #: What the caller gave Codex in `OTEL_RESOURCE_ATTRIBUTES`, as far as it has the form of a name.
        labels = {names.name(key): names.name(value) for key, value in process.extra}
        self.resource = {key: value for key, value in labels.items() if names.OTHER not in {key, value}}
        #: What the caller says in `[otel.span_attributes]`, under Langfuse's names.
        self.labels: dict[str, str] = {}
        self.account_id: str | None = None
        self.email: str | None = None
        self.auth_mode: str | None = None
        self.originator: str | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self.reasoning_effort: str | None = None
        self.reasoning_summary: str | None = None
        self.context_window: int | None = None
        self.auto_compact_token_limit: int | None = None
        self.approval_policy: str | None = None
        self.sandbox_policy: str | None = None
        self.mcp_servers: list[str] | None = None
        self.mcp_server_count: int | None = None

    def as_text(
        self, started: tuple[int, bytes] | None, first_prompt: tuple[int, int] | None, policy: Policy
    ) -> str:
        """Return it, with when and where the conversation began, in one line, which `from_text` reads.

        Who the turns are of is in it only if `policy` lets that out.
        """
        known = {key: getattr(self, key) for key in self.__slots__}
        for key, source in (("account_id", "account-id"), ("email", "email")):
            if policy.user.source != source:
                del known[key]
        found = {key: value for key, value in known.items() if value not in (None, {}, [])}
        begun = None if started is None else (started[0], started[1].hex())
        return json.dumps([found, begun, first_prompt], separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> tuple[SessionInfo, tuple[int, bytes] | None, tuple[int, int] | None]:
        """Read what `as_text` wrote."""
        found, begun, first_prompt = json.loads(text)
        about = cls(Process("", "", ""))
        for key, value in found.items():
            if key in cls.__slots__:
                setattr(about, key, value)
        started = None if begun is None else (int(begun[0]), bytes.fromhex(begun[1]))
        return about, started, None if first_prompt is None else tuple(first_prompt)

    def older_than(self, major: int, minor: int) -> bool:
        """Whether the Codex is of an older version."""
        return Process("", self.version or "", "").older_than(major, minor)

    def who(self, event: CodexEvent) -> None:
        """Learn who and what wrote `event`."""
        found = event.attributes
        account_id, email = found.get("user.account_id"), found.get("user.email")
        if isinstance(account_id, str):
            self.account_id = account_id
        if isinstance(email, str):
            self.email = email
        originator, version, auth_mode = (
            found.get("originator"),
            found.get("app.version"),
            found.get("auth_mode"),
        )
        if isinstance(originator, str) and (self.originator is None or not event.on_span):
            self.originator = names.name(originator)
        if isinstance(version, str) and self.version is None:
            self.version = names.version(version)
        if isinstance(auth_mode, str):
            self.auth_mode = names.choice(auth_mode, names.AUTH_MODES)

    def starts(self, event: CodexEvent) -> None:
        """Learn the settings of a conversation from `codex.conversation_starts`."""
        self.who(event)
        found = event.attributes
        model, provider = found.get("model"), found.get("provider_name")
        if isinstance(model, str):
            self.model = names.model(model)
        if isinstance(provider, str):
            self.provider = names.name(provider)
        for key, allowed in (
            ("reasoning_effort", names.REASONING_EFFORTS),
            ("reasoning_summary", names.REASONING_SUMMARIES),
            ("approval_policy", names.APPROVAL_POLICIES),
            ("sandbox_policy", names.SANDBOX_POLICIES),
        ):
            if key in found:
                setattr(self, key, names.choice(found[key], allowed))
        for key in ("context_window", "auto_compact_token_limit"):
            if key in found:
                setattr(self, key, names.count(found[key]))
        if not event.on_span:
            # The log names the servers, the event on a span counts them; the attribute is empty without any.
            self.mcp_servers = names.name_list(found.get("mcp_servers"))
            self.mcp_server_count = len(self.mcp_servers)
        elif "mcp_server_count" in found:
            self.mcp_server_count = names.count(found["mcp_server_count"])

    def user(self, policy: Policy) -> str | None:
        """Return whom the turns are said to belong to: as the policy says, else as the caller says."""
        found = {"name": policy.user.name, "account-id": self.account_id, "email": self.email}
        found["off"] = self._label("langfuse.user.id", "user.id")
        user = found.get(policy.user.source)
        return user[:200] if user else None

    def environment_of(self, policy: Policy) -> str | None:
        """Return the environment: the policy's, else the caller's, else what `[otel] environment` says."""
        told = policy.environment or self._label(
            "langfuse.environment", "deployment.environment.name", "deployment.environment"
        )
        return names.environment(told) if told else self.environment

    def release(self) -> str | None:
        """Return the release that the caller names."""
        return self._label("langfuse.release")

    def tags(self) -> list[str]:
        """Return the tags that the caller gives, as Langfuse reads them: a JSON array, or commas between."""
        text = self._label("langfuse.trace.tags", "langfuse.tags")
        if not text:
            return []
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        parts = found if isinstance(found, list) else text.split(",")
        return [part.strip() for part in parts if isinstance(part, str) and part.strip()][:_MOST_LABELS]

    def _label(self, *keys: str) -> str | None:
        for said in (self.labels, self.resource):
            for key in keys:
                if said.get(key):
                    return mask_secrets(said[key][:_LONGEST_LABEL])
        return None

    def metadata(self) -> dict[str, str | int]:
        """Return what of it goes into the metadata of a turn."""
        known = {
            "codex_version": self.version,
            "service_name": self.service_name,
            "originator": self.originator,
            "provider": self.provider,
            "auth_mode": self.auth_mode,
            "approval_policy": self.approval_policy,
            "sandbox_policy": self.sandbox_policy,
            "mcp_servers": ", ".join(self.mcp_servers) if self.mcp_servers else None,
            "mcp_server_count": self.mcp_server_count,
            "reasoning_summary": self.reasoning_summary,
            "context_window": self.context_window,
            "auto_compact_token_limit": self.auto_compact_token_limit,
        }
        extra = {f"resource.{key}": value for key, value in self.resource.items()}
        for key in list(self.labels)[:_MOST_LABELS]:
            for prefix in _METADATA:
                if key.startswith(prefix) and len(key) > len(prefix):
                    extra[names.name(key.removeprefix(prefix))] = self._label(key) or ""
        return {key: value for key, value in (known | extra).items() if value is not None}

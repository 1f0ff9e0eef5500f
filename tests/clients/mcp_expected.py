"""What of MCP's conformance suite does not apply here, check by check, and why.

The suite drives a server that was made for it, with tools, prompts and resources under names of its own, and tries every
capability, declared or not.
"""

# What both revisions ask for: reason -> "scenario check".
BOTH = {
    "The tool is one of the suite's own server; the tools here are operations of the registry, whose answers are JSON.": (
        "json-schema-2020-12 json-schema-2020-12-tool-found",
        "tools-call-audio tools-call-audio",
        "tools-call-embedded-resource tools-call-embedded-resource",
        "tools-call-error tools-call-error",
        "tools-call-image tools-call-image",
        "tools-call-mixed-content tools-call-mixed-content",
        "tools-call-simple-text tools-call-simple-text",
        "tools-call-with-progress tools-call-with-progress",
    ),
    "The resource is one of the suite's own server, test://…; resources here are skill://…": (
        "resources-read-binary resources-read-binary",
        "resources-read-text resources-read-text",
        "resources-templates-read resources-templates-read",
    ),
    "The prompt has an image or a resource; prompts of the registry are text and JSON.": (
        "prompts-get-embedded-resource prompts-get-embedded-resource",
        "prompts-get-with-image prompts-get-with-image",
    ),
    "The capability completions is not declared.": ("completion-complete completion-complete",),
}

OF_2025_11_25 = {
    "The capability logging is not declared: the service has its own log.": (
        "logging-set-level logging-set-level",
        "tools-call-with-logging tools-call-with-logging",
    ),
    "A tool asks the user or the model in the middle of a call; no tool here has a question.": (
        "elicitation-sep1034-defaults elicitation-sep1034-general",
        "elicitation-sep1330-enums elicitation-sep1330-general",
        "tools-call-elicitation tools-call-elicitation",
        "tools-call-sampling tools-call-sampling",
    ),
    "The capability resources.subscribe is not declared; events/ says what changes.": (
        "resources-subscribe resources-subscribe",
        "resources-unsubscribe resources-unsubscribe",
    ),
    "A warning that there is no session: every message is complete in itself, and answers are plain JSON.": (
        "server-sse-multiple-streams server-sse-multiple-streams-session",
        "server-sse-polling server-sse-polling-session",
    ),
}

OF_2026_07_28 = {
    "No argument of a tool is repeated in a header: no schema has x-mcp-header.": (
        "http-custom-header-server-validation sep-2243-server-decode-base64",
        "http-custom-header-server-validation sep-2243-server-no-xmcp-tool",
        "http-custom-header-server-validation sep-2243-server-reject-invalid-param-chars",
        "http-custom-header-server-validation sep-2243-server-reject-param-mismatch",
        "http-custom-header-server-validation sep-2243-server-validate-param-match",
    ),
    "A tool or prompt asks for input before it answers; nothing here has a question.": (
        "input-required-result-basic-elicitation sep-2322-elicitation-incomplete",
        "input-required-result-basic-list-roots sep-2322-list-roots-incomplete",
        "input-required-result-basic-sampling sep-2322-sampling-incomplete",
        "input-required-result-capability-check sep-2322-respect-client-capabilities",
        "input-required-result-ignore-extra-params sep-2322-ignore-unexpected-params",
        "input-required-result-missing-input-response sep-2322-missing-response-rerequests",
        "input-required-result-multi-round sep-2322-multi-round-r1",
        "input-required-result-multiple-input-requests sep-2322-multiple-inputs-incomplete",
        "input-required-result-non-tool-request sep-2322-non-tool-incomplete",
        "input-required-result-request-state sep-2322-request-state-incomplete",
        "input-required-result-result-type sep-2322-result-type-included",
        "input-required-result-tampered-state sep-2322-reject-tampered-state",
    ),
    "The check looks through a tool of the suite's own server, at a stream or a capability that no tool here needs.": (
        "server-stateless sep-2575-http-server-no-independent-requests-on-stream",
        "server-stateless sep-2575-missing-capability-http-400",
        "server-stateless sep-2575-server-no-log-without-loglevel",
        "server-stateless sep-2575-server-rejects-undeclared-capability",
    ),
    "No listChanged and no subscribe is declared, so there is no subscriptions/listen; events/ says what changes.": (
        "server-stateless sep-2575-server-honors-notification-filter",
        "server-stateless sep-2575-server-sends-subscription-ack",
        "server-stateless sep-2575-server-tags-subscription-id",
    ),
    "The extension io.modelcontextprotocol/tasks is not declared: every tool answers at once.": (
        "tasks-capability-negotiation sep-2663-server-rejects-undeclared-client",
        "tasks-capability-negotiation sep-2663-tasks-methods-non-declaring",
        "tasks-capability-negotiation tasks-extension-advertised",
        "tasks-capability-negotiation tasks-per-request-meta-opt-in",
        "tasks-dispatch-and-envelope sep-2663-durable-create-strong-consistency",
        "tasks-dispatch-and-envelope sep-2663-legacy-task-param-ignored",
        "tasks-dispatch-and-envelope sep-2663-tasks-get-invalid-task-id-32602",
        "tasks-dispatch-and-envelope tasks-immediate-result-shortcut",
        "tasks-dispatch-and-envelope tasks-result-type-complete-on-non-task-responses",
        "tasks-dispatch-and-envelope tasks-server-directed-creation-no-hint",
        "tasks-lifecycle sep-2663-cancel-ack-empty-result",
        "tasks-lifecycle sep-2663-result-type-task-on-create",
        "tasks-lifecycle sep-2663-tasks-get-status-completed",
        "tasks-lifecycle sep-2663-tasks-get-status-failed",
        "tasks-lifecycle sep-2663-tasks-get-status-working",
        "tasks-lifecycle sep-2663-tool-error-uses-completed-status",
        "tasks-lifecycle tasks-cancel-terminal-idempotent-ack",
        "tasks-lifecycle tasks-sync-tool-call",
        "tasks-mrtr-composition sep-2663-mrtr-synchronous-before-task-creation",
        "tasks-mrtr-input sep-2663-tasks-get-status-input-required",
        "tasks-mrtr-input tasks-mrtr-partial-fulfillment",
        "tasks-mrtr-input tasks-mrtr-tasks-update-resumes",
        "tasks-request-headers sep-2663-routing-headers-accepted-on-tasks-get",
        "tasks-request-headers sep-2663-server-rejects-mismatched-mcp-name-on-tasks-get",
        "tasks-request-headers tasks-headers-tolerate-mcp-method-on-tools-call",
        "tasks-request-state-removal tasks-request-state-removal-setup",
        "tasks-required-task-error sep-2663-server-returns-missing-capability-when-required",
        "tasks-wire-fields tasks-no-early-ttl-expiry",
        "tasks-wire-fields tasks-no-related-task-meta-on-inlined-result",
        "tasks-wire-fields tasks-wire-field-renames",
    ),
}

EXPECTED = {
    revision: {check for checks in (*BOTH.values(), *own.values()) for check in checks}
    for revision, own in (("2025-11-25", OF_2025_11_25), ("2026-07-28", OF_2026_07_28))
}

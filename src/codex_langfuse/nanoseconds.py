"""Nanoseconds, in which OpenTelemetry counts: since 1970 for a moment, and for a duration."""

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND

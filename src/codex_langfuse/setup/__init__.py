"""Keeping the relay running, and a turn to try it with: what ``codex-langfuse setup`` adds to the parts."""

"""What ``codex-langfuse setup`` adds to the parts: a relay that keeps running, and a turn to try it with.

``service`` makes the relay a service of systemd, launchd or Windows' task scheduler, and takes it away
again; in go a folder and the command, out comes what the system answered. ``trial_turn`` sends the relay
a made-up turn and waits until Langfuse shows it.
"""

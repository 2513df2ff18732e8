"""What several test modules need: programs to run, servers to ask, data to send.

``surroundings`` has a real Codex, its scripted model, the mock and the proxy; ``fixtures`` makes it a
fixture. ``running_relay`` runs a relay, ``site`` builds the site, ``fences`` runs the examples of pages
and ``stand_ins`` are the programs there that start nothing real. Out come observations and outputs: the
tests judge them.
"""

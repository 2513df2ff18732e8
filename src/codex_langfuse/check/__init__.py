"""Is this set-up right? The files and the environment first, then one question to the server.

In comes a ``setup``: configuration files, environment, the version of Codex, running processes. The
``rules_of_…`` yield ``findings``, each a mistake of ``catalogue.toml`` with its place; ``checking`` runs
them in order. Out go a ``report`` as text or JSON, and the changes that ``fixing`` can make.
"""

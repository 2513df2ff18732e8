"""Is this set-up right? Local findings first, then one question to the server.

``catalogue`` (``catalogue.toml``)
    Every mistake that is known: what is seen of it, why, how to fix it, and an example of it.
``setup``
    What is looked at: the files, the environment, the version, processes.
``findings``
    A mistake that was found, and where.
``rules_of_files``, ``rules_of_exporters``, ``rules_of_keys``, ``rules_of_surroundings``
    The rules that find them.
``authorization``
    What Langfuse will make of an ``Authorization`` header.
``server``
    What the server says.
``checking``
    All of it, in order.
``report``
    Findings as text and as JSON.
``pages``
    The catalogue as a page.
"""

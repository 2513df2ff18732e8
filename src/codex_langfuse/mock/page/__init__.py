"""The mock's own pages: what arrived as Langfuse will show it, what left the machine, what is wrong.

In come the requests and observations of the store; out goes HTML, in English or Chinese. The words are in
``texts.toml``, the pages in ``templates``; ``views`` fills them.
"""

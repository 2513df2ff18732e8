"""A Langfuse on this machine that keeps nothing after it ends: for trying out, and for tests.

In come the requests that Langfuse gets: exports, reads, scores. Out go the answers of Langfuse 4.16.0 or 3,
as far as they were seen (``langfuse``), or those of ``faults``; a path that is not played gets 501.
``store`` keeps what came, ``page`` shows it in a browser.
"""

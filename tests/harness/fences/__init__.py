"""Running what is in the fences of a page.

``scanner``
    Finds the fences of a page as a reader of the Markdown source sees them.
``rendered``
    Counts them a second time, as the site's own Markdown renderer sees them.
``placeholders``
    The only words of an example that are replaced before it runs.
``outputs``
    Compares what a page shows with what a program printed.
``terminal``
    A reader's machine for one page: a home, a shell, Codex, and a Langfuse to send to.
``executors``
    One for each language: what it means to run a fence in it.
``page``
    A page being followed, fence after fence.
"""

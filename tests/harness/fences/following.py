"""Follow a page from its top, fence after fence, as a reader does."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from pytest_examples import CodeExample

from harness.fences.executors import EXECUTORS, FenceFailedError
from harness.fences.own_network import OwnNetwork, is_allowed
from harness.fences.pages import followed, needs_codex, needs_collector
from harness.fences.ports import ports_of, require_free
from harness.fences.reader import Reader, a_reader
from harness.fences.scanner import Fence, scan
from harness.the_collector import find_collector
from translations import DOCS

Execute = Callable[[Fence, Reader], None]

# A page says in its front matter which page, under docs/, its reader comes from, and how far they read.
_FOLLOWS = re.compile(r"---\n(?:(?!---).*\n)*?follows: (?P<page>[^#\s]+)#(?P<section>\S+)\n")

# For a page on which nothing runs Codex.
_NO_CODEX = Path("/no/codex/is/needed/on/this/page")

# Seconds for what the page before started to let go of its ports.
_PATIENCE = 10


class Following:
    """One page at a time. A fence in the middle is reached by running those before it first.

    Args:
        folder: makes a new empty folder for each page.
        renew: output that differs from the page is not a failure, but kept for ``renewals``.
        apart: in a network of its own. Otherwise the ports that the page needs must be free.
    """

    def __init__(self, folder: Callable[[], Path], *, renew: bool = False, apart: bool | None = None) -> None:
        self._folder = folder
        self._renew = renew
        self._apart = is_allowed() if apart is None else apart
        self._network: OwnNetwork | None = None
        self._page: Path | None = None
        self._stack = ExitStack()
        self._left: list[Fence] = []
        self._in_the_way: Path | None = None
        self.reader: Reader

    def reach(self, fence: Fence, special: dict[str, Execute]) -> None:
        """Run ``fence``, after all of its page that comes before it.

        Args:
            fence: what to run.
            special: executors for languages that need something of the running test.

        Raises:
            FenceFailedError: it does not do what its page says, its language has no executor, or a port that
                the page needs is in use.
        """
        if fence not in self._left:
            self._open(fence.page)
        with self._in_network():
            self._go_on_to(fence, special)

    def _go_on_to(self, fence: Fence, special: dict[str, Execute]) -> None:
        while self._left[0] != fence:
            earlier = self._left.pop(0)
            try:
                self._run(earlier, special)
            except FenceFailedError:
                continue  # has a test of its own, which says so
        del self._left[0]
        self._run(fence, special)

    def renewals(self) -> list[CodeExample]:
        """Return, once, the fences of this page whose recorded output changed since this was last asked."""
        found = [example for example in self.reader.renewals or [] if example.path == self._page]
        self.reader.renewals = [] if self._renew else None
        return found

    def close(self) -> None:
        """Leave the page: stop all that runs for it."""
        with self._in_network():
            self._stack.close()
        if self._network:
            self._network.close()
        self._page, self._left, self._network = None, [], None

    def _in_network(self) -> AbstractContextManager[None]:
        return self._network.entered() if self._network else nullcontext()

    def _open(self, page: Path) -> None:
        self.close()
        fences = [*fences_before(page), *followed(page)]
        if self._apart:
            self._network = OwnNetwork()
        else:
            # What held a port a moment ago, for the fence before this one, holds it still.
            waited, self._in_the_way = self._in_the_way == page, page
            require_free(ports_of(fences), 0 if waited else _PATIENCE)
            self._in_the_way = None
        with self._in_network():
            self._meet_reader(fences)
        self._page, self._left = page, fences
        self.reader.renewals = [] if self._renew else None

    def _meet_reader(self, fences: list[Fence]) -> None:
        binary = None if needs_codex(fences) else _NO_CODEX
        collector = find_collector() if needs_collector(fences) else None
        self.reader = self._stack.enter_context(a_reader(self._folder(), binary, collector))

    def _run(self, fence: Fence, special: dict[str, Execute]) -> None:
        if "ran_by" in fence.settings:
            return  # a test of the runner sees to it that the named module runs this text
        execute = special.get(fence.language) or EXECUTORS.get(fence.language)
        if execute is None:
            raise FenceFailedError(f"nothing runs {fence.language or 'a fence without a language'}")
        if fence.language in ("python", "console") or "/api/public/" in fence.source:
            self.reader.pause()
        execute(fence, self.reader)


def fences_before(page: Path) -> list[Fence]:
    """Return the fences that a reader of ``page`` has followed already, as the page says on top.

    The page that they come from may follow another one itself.
    """
    follows = _FOLLOWS.match(page.read_text(encoding="utf-8"))
    if follows is None:
        return []
    earlier = DOCS / follows["page"]
    lines = earlier.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith(f"{{ #{follows['section']} }}"))
    end = next((i for i in range(start + 1, len(lines)) if lines[i].startswith("## ")), len(lines))
    return [*fences_before(earlier), *(fence for fence in scan(earlier) if fence.line <= end)]

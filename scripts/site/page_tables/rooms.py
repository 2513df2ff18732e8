"""The rooms of the package, and which imports which, from the imports themselves."""

from graphlib import TopologicalSorter

import grimp

PACKAGE = "codex_langfuse"


def rooms(_language: str) -> str:
    """Return the diagram: folders with corners, files round. What follows from other arrows has none.

    Raises:
        graphlib.CycleError: rooms import each other in a circle.
    """
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    names = sorted(graph.find_children(PACKAGE))
    folders = {name for name in names if graph.find_children(name)}
    for name in names:
        graph.squash_module(name)
    imports = {name: graph.find_modules_directly_imported_by(name) - {PACKAGE} for name in names}
    TopologicalSorter(imports).prepare()
    lines = [
        "```mermaid",
        "flowchart TB",
        "    accTitle: Rooms of the package",
        "    accDescr: Who imports whom.",
    ]
    for name in names:
        short = name.removeprefix(f"{PACKAGE}.")
        lines.append(f"    {short}[{short}/]" if name in folders else f"    {short}([{short}.py])")
    for name, imported in imports.items():
        lines += [
            f"    {name.removeprefix(f'{PACKAGE}.')} --> {other.removeprefix(f'{PACKAGE}.')}"
            for other in sorted(imported)
            if not any(graph.chain_exists(between, other) for between in imported - {other})
        ]
    return "\n".join([*lines, "```", ""])


TABLES = {"rooms": rooms}

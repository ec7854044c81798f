"""Measures how the code is laid out: folders, file lengths, repeated names, docstrings, imports.

    python -m benchmarks.structure
    python -m benchmarks.structure --root ../another-checkout --client 'from xemplar import Client'

Counts what git tracks below `xemplar/ app/ indexer/ trainer/ evaluator/` (migrations aside), and
the modules that one import loads in a fresh process with the current environment.
"""

import argparse
import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

CODE = ("xemplar", "app", "indexer", "trainer", "evaluator", "pacs")
QUESTION_WORDS = ("What", "How", "Whether", "Of")
SHORT, LONG = 40, 400
ROOT = Path(__file__).resolve().parents[1]


def sources(root: Path) -> list[Path]:
    """Python files of library and programs, in git's order."""
    tracked = subprocess.run(
        ["git", "-C", str(root), "ls-files", *CODE], check=True, capture_output=True, text=True
    )
    files = (root / line for line in tracked.stdout.splitlines())
    return [file for file in files if file.suffix == ".py" and "migrations" not in file.parts]


def documented(tree: ast.Module) -> Iterator[str]:
    """Docstrings of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def modules_loaded(statement: str) -> int:
    """Modules in ``sys.modules`` after a statement, in a fresh interpreter."""
    program = f"import sys\n{statement}\nprint(len(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def measure(root: Path, client: str) -> dict[str, str]:
    """Figures of a checkout, by what they are."""
    files = sources(root)
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    trees = {file: ast.parse(text) for file, text in texts.items()}
    lines = sorted(len(text.splitlines()) for text in texts.values())
    classes = Counter(
        node.name
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    repeated = sorted(name for name, count in classes.items() if count > 1)
    starts = Counter(
        word
        for tree in trees.values()
        for text in documented(tree)
        if (word := text.split(maxsplit=1)[0]) in QUESTION_WORDS
    )
    rooms = {
        file.relative_to(root / "xemplar").parts[0]
        for file in files
        if file.is_relative_to(root / "xemplar") and file.parent != root / "xemplar"
    } | {file.name for file in files if file.parent == root / "xemplar"}
    rooms = {room for room in rooms if not room.startswith("__")}
    return {
        "modules and packages directly in xemplar/": f"{len(rooms)}",
        "files": f"{len(lines)}",
        "median lines of a file": f"{median(lines):.0f}",
        f"files under {SHORT} lines": f"{sum(count < SHORT for count in lines)}",
        f"files over {LONG} lines": f"{sum(count > LONG for count in lines)}",
        "public classes of one name": f"{len(repeated)}: {', '.join(repeated)}"[:100],
        "docstrings that begin with": ", ".join(f"{w} {starts[w]}" for w in QUESTION_WORDS),
        f"modules loaded by `{client}`": f"{modules_loaded(client)}",
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout to measure")
    parser.add_argument(
        "--client",
        default="from xemplar.api import Client",
        help="statement whose modules are counted, in the environment that runs this",
    )
    asked = parser.parse_args()
    table = Table("", "")
    for name, value in measure(asked.root, asked.client).items():
        table.add_row(name, value)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()

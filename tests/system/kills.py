"""Kills programs with ``kill -9`` at random moments: no case may be lost, no answer wrong.

Three programs are killed, restarted and checked:

- the worker of a reindex job, while a client queries, uploads and deletes;
- the service, while three clients upload and delete;
- a training run, whose result must equal that of an uninterrupted one bit for bit.

    python -m tests.system.kills
    python -m tests.system.kills --worker-kills 5 --service-kills 5 --training-kills 0 --seed 7

Has the same requirements as the tests (`make test` installs them). Uses a temporary folder with
phantoms, a tiny network and SQLite, and takes half an hour on two busy cores.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress

from tests.system.common import show
from tests.system.killing.outcome import KillOutcome
from tests.system.killing.service import kill_service
from tests.system.killing.training import kill_training
from tests.system.killing.worker import kill_workers

COLUMNS = ("killed", "times", "while it was", "looked at", "failures")

Round = Callable[[Path, int, int, Callable[[int], None]], KillOutcome]
"""Kills a program repeatedly in a folder, with a seed, and reports each kill."""


def run(rounds: dict[str, tuple[Round, int]], seed: int) -> list[KillOutcome]:
    """Run all rounds in order, each with its number of kills."""
    outcomes = []
    with Progress(console=Console(stderr=True)) as progress:
        for name, (kill, kills) in rounds.items():
            task = progress.add_task(f"killing the {name}", total=kills)
            with TemporaryDirectory(prefix="xemplar-kills-") as folder:
                moved = partial(_moved, progress, task)
                outcomes.append(kill(Path(folder), kills, seed, moved))
    return outcomes


def main() -> None:
    """Kill, check and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worker-kills", type=int, default=50, help="0: none of these")
    parser.add_argument("--service-kills", type=int, default=50)
    parser.add_argument("--training-kills", type=int, default=15)
    parser.add_argument("--images", type=int, default=120, help="indexed before")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    asked = parser.parse_args()
    rounds: dict[str, tuple[Round, int]] = {
        "worker": (partial(kill_workers, images=asked.images), asked.worker_kills),
        "service": (partial(kill_service, images=asked.images), asked.service_kills),
        "training": (kill_training, asked.training_kills),
    }
    outcomes = run({name: one for name, one in rounds.items() if one[1]}, asked.seed)
    show(f"kill -9, seed {asked.seed}", COLUMNS, [outcome.row() for outcome in outcomes])
    faults = [f"{one.what}: {fault}" for one in outcomes for fault in one.faults]
    for fault in faults[:20]:
        Console(stderr=True, soft_wrap=True).print(fault, markup=False)
    sys.exit(1 if faults else 0)


def _moved(progress: Progress, task: int, kills: int) -> None:
    progress.update(task, completed=kills)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()

"""Kills training runs; a resumed run must end like an uninterrupted one."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.system.killing.outcome import KillOutcome
from xemplar.archive.artefact import file_digest
from xemplar.phantom import write_phantoms

FINDINGS = ("Mass", "Effusion")
IMAGES = 80
EPOCHS = 6
SOON = 300.0


def kill_training(
    folder: Path, kills: int, seed: int, on_kill: Callable[[int], None], epochs: int = EPOCHS
) -> KillOutcome:
    """Kill training runs of a tiny network repeatedly; arguments as in `kill_service`."""
    random, outcome = Random(seed), KillOutcome("training")
    write_phantoms(folder / "phantoms", IMAGES, size=64)
    whole = _Training(folder, "whole", epochs)
    whole.wait_for_first_step()
    began = time.monotonic()
    whole.end()
    seconds = time.monotonic() - began
    number = 0
    while outcome.kills < kills:
        number += 1
        while outcome.kills < kills:
            training = _Training(folder, f"killed-{number}", epochs)
            training.wait_for_first_step()
            time.sleep(random.uniform(0, 0.7 * seconds))
            if not training.kill():
                break
            outcome.kills += 1
            outcome.phases[training.phase] += 1
            on_kill(outcome.kills)
        _look_at(_Training(folder, f"killed-{number}", epochs), whole, outcome)
    return outcome


def _look_at(killed: "_Training", whole: "_Training", outcome: KillOutcome) -> None:
    """Let a training run finish, and compare it with the uninterrupted one."""
    killed.end()
    digests = [file_digest(one.out / "checkpoint.safetensors") for one in (killed, whole)]
    outcome.check("checkpoints, every bit", digests[0] == digests[1], f"{digests} differ")
    outcome.check(
        "figures of all epochs", killed.figures == whole.figures, f"{killed.out}/epochs.csv"
    )
    left = [path.name for path in killed.out.glob(".*")]
    outcome.check("no half-written file left", not left, f"left: {left}")


class _Training:
    """A training run as a process, which resumes from its folder."""

    def __init__(self, folder: Path, name: str, epochs: int) -> None:
        self.out = folder / name
        self._epochs = epochs
        self._log = folder / f"{name}.log"
        arguments = (str(folder / "phantoms"), str(self.out), str(epochs))
        command = [sys.executable, "-m", __name__, *arguments]
        with self._log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    @property
    def figures(self) -> list[list[str]]:
        """Table of the epochs without their durations."""
        with (self.out / "epochs.csv").open() as file:
            rows = list(csv.reader(file))
        seconds = rows[0].index("seconds")
        return [row[:seconds] + row[seconds + 1 :] for row in rows]

    @property
    def phase(self) -> str:
        """Activity at the time of the kill."""
        if any(self.out.glob(".*")):
            return "writing a file"
        done = len(self.figures) - 1 if (self.out / "epochs.csv").is_file() else 0
        return f"in epoch {done + 1}" if done < self._epochs else "at its end"

    def wait_for_first_step(self) -> None:
        """Wait until it has loaded the data and begins, or has ended."""
        while b"is next" not in self._log.read_bytes() and self._process.poll() is None:
            time.sleep(0.005)

    def kill(self) -> bool:
        """Kill it; return whether it was still running."""
        self._process.kill()
        return self._process.wait() != 0

    def end(self) -> None:
        """Wait until it has completed all epochs.

        Raises:
            RuntimeError: it failed; contains the end of its log.
        """
        if self._process.wait(SOON) != 0:
            raise RuntimeError(f"the training failed: {self._log.read_text()[-2000:]}")


def main(data: Path, out: Path, epochs: int) -> None:
    """Run a training of a few seconds."""
    from rich.console import Console
    from xemplar_trainer.run import train
    from xemplar_trainer.settings import TrainingSettings

    from tests.images import TINY
    from xemplar.data.datasets import open_dataset

    settings = TrainingSettings(
        findings=FINDINGS,
        size=64,
        initial="none",
        epochs=epochs,
        batch_size=8,
        learning_rate=1e-2,
        precision="float32",
        device="cpu",
        workers=0,
        threads=1,
    )
    train(settings, [open_dataset(data)], out, architecture=TINY, console=Console(width=200))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

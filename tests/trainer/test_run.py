"""A whole training: it learns, is killed and resumed, and runs in two processes."""

import csv
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import torch
from PIL import Image
from rich.console import Console
from safetensors import safe_open
from xemplar_trainer import epoch
from xemplar_trainer.data import frontal_images
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.epoch import Device, Validation
from xemplar_trainer.metrics import masked_loss
from xemplar_trainer.run import train
from xemplar_trainer.settings import TrainingSettings
from xemplar_trainer.state import FORMER_NAMES, load_state, progress_of
from xemplar_trainer.student import Student

from tests.trainer.drawn import FINDINGS, RECIPE, TINY, drawn_set
from xemplar.data.datasets import Dataset, DatasetImage, open_dataset
from xemplar.data.membership import Membership, contrasts
from xemplar.data.splits import PatientSplit, development_digest
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.model.checkpoint import load
from xemplar.model.densenet import MEAN, Architecture
from xemplar.model.encoder import Precision, Runtime, open_encoder
from xemplar.model.pytorch import DenseNetwork, load_weights

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return drawn_set(tmp_path_factory.mktemp("data") / "set")


def trained(dataset: Dataset, out: Path, settings: TrainingSettings = RECIPE) -> Path:
    return train(settings, [dataset], out, architecture=TINY, console=QUIET)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training."""
    out = tmp_path_factory.mktemp("run") / "out"
    assert trained(dataset, out) == out / "checkpoint.safetensors"
    return out


def rows(run: Path) -> list[dict[str, str]]:
    """The epochs' table without what differs from run to run."""
    with (run / "epochs.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


# ---- It learns ----------------------------------------------------------------------------------


def test_labels_that_can_be_seen_are_learnt(run: Path) -> None:
    best = max(float(row["val_auc"]) for row in rows(run))
    assert best > 0.9
    assert load(run / "checkpoint.safetensors").card.metrics["val_auc"] == pytest.approx(
        best, abs=1e-6
    )


def test_the_loss_falls(run: Path) -> None:
    losses = [float(row["train_loss"]) for row in rows(run)]
    assert losses[-1] < losses[0]


def test_the_folder_of_a_run_holds_what_is_promised(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        "checkpoint.safetensors", "state.safetensors", "epochs.csv", "loss.png", "roc.png",
        "settings.json", "tensorboard",
    }  # fmt: skip


def test_the_table_has_a_row_for_each_epoch_and_an_auc_for_each_finding(run: Path) -> None:
    table = rows(run)
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    for row in table:
        aucs = [float(row[f"auc {finding}"]) for finding in FINDINGS]
        assert float(row["val_auc"]) == pytest.approx(np.mean(aucs), abs=2e-6)


@pytest.mark.parametrize("name", ["loss.png", "roc.png"])
def test_the_curves_are_pictures(run: Path, name: str) -> None:
    with Image.open(run / name) as picture:
        assert picture.convert("L").getextrema() == (0, 255)


def test_tensorboard_finds_every_epoch(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    # epochs of the same second have files whose names are sorted as text, 10 before 9
    assert sorted(event.step for event in events.Scalars("val_auc")) == [1, 2, 3]


def test_the_checkpoint_tells_the_recipe_and_the_data(run: Path, dataset: Dataset) -> None:
    card = load(run / "checkpoint.safetensors").card
    assert card.findings == FINDINGS
    assert card.spec == RECIPE.spec
    assert card.architecture == TINY
    assert card.training["learning_rate"] == RECIPE.learning_rate
    assert card.training["datasets"] == {"drawn": dataset.digest}
    assert card.split == RECIPE.split
    assert card.training["learnt"] == {"drawn": development_digest(dataset.images, RECIPE.split)}
    assert set(card.metrics) >= {"val_loss", "val_accuracy", "val_auc", "val_auc/Mass"}


def test_the_checkpoint_knows_patients_and_pictures_of_train_and_val_again(
    run: Path, dataset: Dataset
) -> None:
    """Whatever they are called next time; and the salt of a resumed run is the same."""
    card = load(run / "checkpoint.safetensors").card
    members = Membership.from_json(card.training["membership"])
    assert members.has_patients(dataset.images).all()
    inputs = [preprocess(decode(f.path.read_bytes()), card.spec) for f in dataset.images]
    assert members.has_pictures(contrasts(inputs)).all()
    assert (
        progress_of(run / "state.safetensors")["settings"]["membership"]
        == (card.training["membership"])
    )


def restored(run: Path, findings: int = 2) -> tuple[DenseNetwork, dict[str, Any]]:
    """The last epoch's network, in full precision, and the progress."""
    network = DenseNetwork(TINY, findings, RECIPE.spec)
    optimizer = torch.optim.AdamW(network.parameters())
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    parts = torch.nn.ModuleDict({"student": Student(network)})
    progress = load_state(run / "state.safetensors", parts, optimizer, scheduler)
    return network.eval(), progress


def test_the_checkpoint_opens_in_openvino_and_gives_the_networks_logits(
    run: Path, dataset: Dataset
) -> None:
    checkpoint = load(run / "checkpoint.safetensors")
    images = np.stack(
        [preprocess(decode(f.path.read_bytes()), RECIPE.spec) for f in dataset.images[:4]]
    )
    served = open_encoder(checkpoint, precision=Precision.FLOAT32).encode(images)
    network = open_encoder(checkpoint, Runtime.PYTORCH, Precision.FLOAT32).encode(images)
    np.testing.assert_allclose(served.logits, network.logits, rtol=1e-4, atol=1e-4)
    if (
        progress_of(run / "state.safetensors")["epochs"][-1]["epoch"]
        == checkpoint.card.training["epoch"]
    ):
        # the best epoch is the last one: the trained network itself, but for float16
        with torch.inference_mode():
            logits = restored(run)[0](torch.from_numpy(images).float() / 255).numpy()
        np.testing.assert_allclose(served.logits, logits, rtol=0.02, atol=0.02)


def test_the_calibration_tells_ill_from_well(run: Path, dataset: Dataset) -> None:
    checkpoint = load(run / "checkpoint.safetensors")
    images = [image for image in dataset.images if image.split == "val"]
    inputs = np.stack([preprocess(decode(f.path.read_bytes()), RECIPE.spec) for f in images])
    probability = checkpoint.probabilities(open_encoder(checkpoint).encode(inputs).logits)
    truth = np.array([[image.labels[finding] for finding in FINDINGS] for image in images]) == 1
    assert ((probability >= checkpoint.thresholds) == truth).mean() > 0.85


def test_the_recorded_loss_is_that_of_the_network_that_is_kept(run: Path, dataset: Dataset) -> None:
    network, progress = restored(run)
    images = frontal_images([dataset], RECIPE)["val"]
    outputs = Validation(images, RECIPE, Distributed()).outputs(
        network, Device("cpu", half=False), 1
    )
    assert masked_loss(outputs) == pytest.approx(progress["epochs"][-1]["val_loss"], abs=1e-6)


def test_what_is_usual_is_the_mean_over_validation_images(run: Path, dataset: Dataset) -> None:
    checkpoint = load(run / "checkpoint.safetensors")
    images = [image for image in dataset.images if image.split == "val"]
    inputs = np.stack([preprocess(decode(f.path.read_bytes()), RECIPE.spec) for f in images])
    maps = open_encoder(checkpoint, precision=Precision.FLOAT32).encode(inputs).maps
    # the file holds convolutions and the mean in float16: 2 ** -11 in each of some ten layers
    usual = maps.mean(axis=0)
    np.testing.assert_allclose(checkpoint.weights[MEAN], usual, rtol=2**-8, atol=2e-3)


def test_images_of_a_data_set_that_knows_less_say_nothing_of_what_is_usual(
    run: Path, dataset: Dataset
) -> None:
    network, _ = restored(run)
    images = frontal_images([dataset], RECIPE)
    label = next(iter(FINDINGS))
    others = [replace(image, source="others", labels={label: 1}) for image in images["train"][:40]]

    def usual(images: Sequence[DatasetImage]) -> npt.NDArray[np.float32]:
        validation = Validation(images, RECIPE, Distributed())
        return validation.outputs(network, Device("cpu", half=False), 1).mean_activation

    wanted = usual(images["val"])
    np.testing.assert_allclose(
        usual([*others[:20], *images["val"], *others[20:]]), wanted, atol=1e-5
    )
    assert not np.allclose(usual(others), wanted, atol=1e-2)


def test_training_in_bfloat16_learns_too(dataset: Dataset, tmp_path: Path) -> None:
    trained(dataset, tmp_path / "out", replace(RECIPE, precision="bfloat16"))
    # with 8 bits of mantissa, each processor's order of sums ends at another network
    assert max(float(row["val_auc"]) for row in rows(tmp_path / "out")) > 0.75


def test_training_stops_after_epochs_without_a_better_auc(dataset: Dataset, tmp_path: Path) -> None:
    # a learning rate of next to nothing: the first epoch stays the best, or an early one
    settings = replace(RECIPE, epochs=20, patience=1, learning_rate=1e-12)
    trained(dataset, tmp_path / "out", settings)
    table = [float(row["val_auc"]) for row in rows(tmp_path / "out")]
    assert len(table) < 20
    assert table[-1] <= max(table[:-1])


# ---- It goes on ---------------------------------------------------------------------------------


GUIDED = replace(RECIPE, teacher="efficientnet-lite2", ema_decay=0.9, batch_size=16)


def test_a_guided_training_that_goes_on_ends_as_if_it_had_not_stopped(
    dataset: Dataset, tmp_path: Path
) -> None:
    whole = trained(dataset, tmp_path / "whole", replace(GUIDED, epochs=2))
    trained(dataset, tmp_path / "parts", replace(GUIDED, epochs=1))
    parts = trained(dataset, tmp_path / "parts", replace(GUIDED, epochs=2))
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    for name, weights in load(whole).weights.items():
        assert np.array_equal(weights, load(parts).weights[name]), name


def test_the_best_epoch_is_one_that_saw_images_at_full_size(
    dataset: Dataset, tmp_path: Path
) -> None:
    growing = replace(RECIPE, small_size=32, small_epochs=2, epochs=3)
    card = load(trained(dataset, tmp_path / "out", growing)).card
    assert (card.training["epoch"], card.spec.size) == (3, RECIPE.size)


def test_the_average_is_what_is_validated_and_kept(dataset: Dataset, tmp_path: Path) -> None:
    settings = replace(RECIPE, ema_decay=0.9, epochs=1)
    checkpoint = load(trained(dataset, tmp_path / "out", settings))
    kept = DenseNetwork(TINY, len(FINDINGS), settings.spec)
    load_weights(kept, checkpoint.weights)
    images = frontal_images([dataset], settings)["val"]
    outputs = Validation(images, settings, Distributed()).outputs(
        kept, Device("cpu", half=False), 1
    )
    (row,) = rows(tmp_path / "out")
    assert masked_loss(outputs) == pytest.approx(float(row["val_loss"]), abs=2e-3)


def test_with_the_cosine_schedule_the_rate_falls_to_the_end_and_epochs_are_fixed(
    dataset: Dataset, tmp_path: Path
) -> None:
    settings = replace(RECIPE, schedule="cosine", epochs=2)
    trained(dataset, tmp_path / "out", settings)
    rates = [float(row["learning_rate"]) for row in rows(tmp_path / "out")]
    assert rates == pytest.approx([1e-2, 5e-3])  # half-way of two epochs the cosine is at half
    with pytest.raises(ConfigurationError, match="epochs was 2, is 3"):
        trained(dataset, tmp_path / "out", replace(settings, epochs=3))


def test_the_checkpoint_tells_its_epochs(run: Path) -> None:
    training = load(run / "checkpoint.safetensors").card.training
    told = [(epoch["epoch"], epoch["val_auc"]) for epoch in training["history"]]
    written = [(int(row["epoch"]), float(row["val_auc"])) for row in rows(run)]
    assert told == [(n, pytest.approx(auc, abs=1e-5)) for n, auc in written[: training["epoch"]]]


def test_a_finished_run_is_not_trained_again(run: Path, dataset: Dataset) -> None:
    before = (run / "state.safetensors").read_bytes()
    trained(dataset, run)
    assert (run / "state.safetensors").read_bytes() == before


def test_a_finished_run_goes_on_where_more_epochs_are_asked_for(
    dataset: Dataset, tmp_path: Path
) -> None:
    trained(dataset, tmp_path / "out", replace(RECIPE, epochs=1))
    trained(dataset, tmp_path / "out", replace(RECIPE, epochs=2))
    assert [row["epoch"] for row in rows(tmp_path / "out")] == ["1", "2"]


def test_a_run_with_former_names_of_settings_and_tensors_is_resumed(
    dataset: Dataset, tmp_path: Path
) -> None:
    trained(dataset, tmp_path / "out", replace(RECIPE, epochs=1))
    state = tmp_path / "out" / "state.safetensors"
    with safe_open(state, framework="pt") as file:
        rest = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    former = {present: name for name, present in FORMER_NAMES.items()}
    settings = rest["progress"]["settings"]
    for values in (settings, settings["augmentation"]):
        for name in former.keys() & values.keys():
            values[former[name]] = values.pop(name)
    del settings["resident"], settings["augmentation"]["gamma"]  # there were none
    renamed = {name.replace(".student.", ".learner."): value for name, value in tensors.items()}
    assert renamed.keys() != tensors.keys()
    safetensors.torch.save_file(renamed, state, {"state": json.dumps(rest)})
    trained(dataset, tmp_path / "out", replace(RECIPE, epochs=2))
    assert [row["epoch"] for row in rows(tmp_path / "out")] == ["1", "2"]


CHILD = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
import xemplar_trainer.epoch
from tests.trainer.drawn import RECIPE, TINY
from xemplar_trainer.run import train
from xemplar.data.datasets import open_dataset

compute, steps = xemplar_trainer.epoch.masked_bce, 0

def killed_in_its_middle(*parts):
    global steps
    steps += 1
    if steps == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(*parts)

xemplar_trainer.epoch.masked_bce = killed_in_its_middle
train(RECIPE, [open_dataset(Path(sys.argv[1]), "drawn")], Path(sys.argv[2]), architecture=TINY,
      console=Console(quiet=True))
"""


KILLED_AT = 9
"""48 images in batches of 8 are 6 steps an epoch: this one lies in the middle of the second."""


def interrupted(dataset: Dataset, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute, steps = epoch.masked_bce, itertools.count(1)

    def interrupted_in_its_middle(*parts: Any) -> Any:
        if next(steps) == KILLED_AT:
            raise KeyboardInterrupt
        return compute(*parts)

    with monkeypatch.context() as patch:
        patch.setattr(epoch, "masked_bce", interrupted_in_its_middle)
        with pytest.raises(KeyboardInterrupt):
            trained(dataset, out)


def killed(dataset: Dataset, out: Path, _: pytest.MonkeyPatch) -> None:
    child = CHILD.format(step=KILLED_AT)
    command = [sys.executable, "-c", child, str(dataset.root), str(out)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("end", [interrupted, pytest.param(killed, marks=pytest.mark.long)])
def test_a_training_that_is_ended_and_resumed_ends_as_if_it_had_not_been(
    run: Path,
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Dataset, Path, pytest.MonkeyPatch], None],
) -> None:
    end(dataset, tmp_path / "out", monkeypatch)
    assert [row["epoch"] for row in rows(tmp_path / "out")] == ["1"]
    trained(dataset, tmp_path / "out")
    assert rows(tmp_path / "out") == rows(run)
    ours, theirs = (load(folder / "checkpoint.safetensors") for folder in (tmp_path / "out", run))
    assert ours.digest == theirs.digest  # weights, metrics, calibration: every bit


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": 1e-3}, r"learning_rate was 0\.01, is 0\.001"),
        ({"seed": 5}, "seed was 0, is 5"),
        ({"split": PatientSplit(seed=5)}, "split was .*'seed': 0.*, is .*'seed': 5"),
        ({"findings": ("Mass",)}, r"findings was .*'Mass', 'Effusion'"),
    ],
)
def test_a_run_with_other_settings_in_the_same_folder_is_refused(
    run: Path, dataset: Dataset, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{message}.*choose another --out folder"):
        trained(dataset, run, replace(RECIPE, **changed))


def test_a_run_with_another_identity_domain_in_the_same_folder_is_refused(
    run: Path, dataset: Dataset
) -> None:
    theirs = open_dataset(dataset.root, dataset.name, patients="town")
    with pytest.raises(ConfigurationError, match=r"patients was \{\}, is \{'drawn': 'town'\}"):
        trained(theirs, run)


def test_a_run_with_other_labels_in_the_same_folder_is_refused(run: Path, tmp_path: Path) -> None:
    other = drawn_set(tmp_path / "set", train=40)
    with pytest.raises(ConfigurationError, match=r"datasets was .*choose another --out folder"):
        trained(other, run)


def test_a_run_of_another_network_in_the_same_folder_is_refused(
    run: Path, dataset: Dataset
) -> None:
    other = Architecture(growth=8, blocks=(1, 1, 1, 1), stem=8)
    with pytest.raises(ConfigurationError, match="is of another network"):
        train(RECIPE, [dataset], run, architecture=other, console=QUIET)


def test_workers_may_be_changed_on_the_way(run: Path, dataset: Dataset) -> None:
    trained(dataset, run, replace(RECIPE, workers=1, threads=2))


# ---- It refuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"", "the file is empty"), (b"letter", "no PNG, JPEG")],
)
def test_an_image_that_cannot_be_read_stops_the_training_and_is_named(
    tmp_path: Path, content: bytes | None, message: str, workers: int
) -> None:
    broken = drawn_set(tmp_path / "set", train=8, val=4)
    image = tmp_path / "set" / "images" / "5.png"
    image.unlink()
    if content is not None:
        image.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"5\.png cannot be used: .*{message}"):
        trained(broken, tmp_path / "out", replace(RECIPE, workers=workers))


def test_a_validation_set_that_allows_no_auc_is_refused(tmp_path: Path) -> None:
    drawn_set(tmp_path / "set", train=8, val=8)
    text = (tmp_path / "set" / "labels.csv").read_text()
    for present in ("Mass|Effusion", "Mass", "Effusion"):
        text = text.replace(f"{present},val", "No Finding,val")
    (tmp_path / "set" / "labels.csv").write_text(text)
    one_sided = open_dataset(tmp_path / "set", "drawn")
    with pytest.raises(DatasetError, match="no AUC can be computed"):
        trained(one_sided, tmp_path / "out", replace(RECIPE, epochs=1))


def test_a_loss_that_is_no_number_stops_the_training_and_writes_no_checkpoint(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="loss is no number any more; try a lower"):
        trained(dataset, tmp_path / "out", replace(RECIPE, learning_rate=1e30))
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


# ---- It runs in two processes -------------------------------------------------------------------

RANK = """
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from rich.console import Console
from tests.trainer.drawn import RECIPE, TINY
from xemplar_trainer.run import train
from xemplar.model.checkpoint import load
from xemplar.data.datasets import open_dataset

path = train(RECIPE, [open_dataset(Path(sys.argv[1]), "drawn")], Path(sys.argv[2]),
             architecture=TINY, console=Console(quiet=True))
sys.stdout.write(f"ended with {load(path).digest}\\n")
sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def pair(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run by torchrun with two processes (gloo), and what they printed."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "rank.py").write_text(RANK)
    ended = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            str(folder / "rank.py"), str(dataset.root), str(folder / "out"),
        ],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder / "out", ended.stdout


@pytest.mark.long
def test_both_processes_end_with_one_checkpoint(pair: tuple[Path, str]) -> None:
    out, said = pair
    assert said.count(f"ended with {load(out / 'checkpoint.safetensors').digest}") == 2


@pytest.mark.long
def test_two_processes_learn_in_half_as_many_steps(pair: tuple[Path, str]) -> None:
    # an epoch of two processes has 3 steps, of one 6: so it has learnt less
    assert max(float(row["val_auc"]) for row in rows(pair[0])) > 0.75
    assert [row["epoch"] for row in rows(pair[0])] == ["1", "2", "3"]


@pytest.mark.long
def test_two_processes_validate_the_network_that_is_kept(
    pair: tuple[Path, str], dataset: Dataset
) -> None:
    # each process has its own batch-norm averages until they are aligned
    network, progress = restored(pair[0])
    images = frontal_images([dataset], RECIPE)["val"]
    outputs = Validation(images, RECIPE, Distributed()).outputs(
        network, Device("cpu", half=False), 1
    )
    assert masked_loss(outputs) == pytest.approx(progress["epochs"][-1]["val_loss"], abs=1e-5)


@pytest.mark.long
def test_settings_are_written_once_and_readable(pair: tuple[Path, str]) -> None:
    written = json.loads((pair[0] / "settings.json").read_text())
    assert written["findings"] == list(FINDINGS)

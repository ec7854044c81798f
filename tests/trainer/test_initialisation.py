"""Where the weights come from before the first step."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor
from xemplar_trainer.initialisation import earlier_training, initialise, set_bias_to_prevalence

from tests.images import seeded_weights
from tests.trainer.drawn import TINY
from xemplar.data.datasets import DatasetImage
from xemplar.data.findings import NIH14, UncertainPolicy
from xemplar.errors import ConfigurationError
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, save
from xemplar.model.densenet import MEAN, Architecture
from xemplar.model.pytorch import DenseNetwork

OTHER = Architecture(growth=4, blocks=(1, 2, 1, 1), stem=8)


def network(findings: int = 2, architecture: Architecture = TINY) -> DenseNetwork:
    return DenseNetwork(architecture, findings, PreprocessSpec(size=64))


def state(made: DenseNetwork) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in made.dense.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor], part: str) -> bool:
    return all(torch.equal(one[n], other[n]) for n in one if n.startswith(part))


def test_none_leaves_the_random_weights() -> None:
    made = network()
    before = state(made)
    initialise(made, "none")
    assert same(before, state(made), "")


def test_a_checkpoint_gives_all_its_weights(tmp_path: Path) -> None:
    weights = seeded_weights(TINY, 2)
    card = Card(("a", "b"), PreprocessSpec(size=64), TINY)
    save(tmp_path / "old.safetensors", card, weights)
    made = network()
    initialise(made, str(tmp_path / "old.safetensors"))
    del weights[MEAN]  # which the trainer finds anew
    for name, value in weights.items():
        # convolutions are stored in float16
        torch.testing.assert_close(
            made.dense.state_dict()[name], torch.from_numpy(value), rtol=1e-3, atol=1e-4
        )


def test_whom_a_checkpoint_learnt_from_is_carried_on(tmp_path: Path) -> None:
    first = {"seed": 4, "datasets": {"ours": "d"}, "learnt": {"ours": None}, "batch_size": 8}
    learnt = {name: value for name, value in first.items() if name != "batch_size"}
    training = {
        "datasets": {"theirs": "e"},
        "membership": {"salt": "s"},
        "initial_training": learnt,
    }
    card = Card(("a", "b"), PreprocessSpec(size=64), TINY, training=training)
    save(tmp_path / "old.safetensors", card, seeded_weights(TINY, 2))
    assert earlier_training(str(tmp_path / "old.safetensors")) == training
    assert earlier_training("none") is None


def test_the_linear_layer_of_other_findings_is_left_random(tmp_path: Path) -> None:
    torch.save(state(network(findings=5)), tmp_path / "five.pth")
    made = network(findings=2)
    before = state(made)
    initialise(made, str(tmp_path / "five.pth"))
    assert same(before, state(made), "classifier")
    assert not same(before, state(made), "features.conv0")


def old_name(name: str) -> str:
    """As torchvision's published files write it: norm.1.weight, conv.2.weight in dense layers."""
    for part in ("norm1", "norm2", "conv1", "conv2"):
        if "denselayer" in name:
            name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
    return name


def test_a_torchvision_state_dict_with_old_names_is_read(tmp_path: Path) -> None:
    given = state(network())
    old = {old_name(name): value for name, value in given.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "densenet.pth")
    made = network()
    initialise(made, str(tmp_path / "densenet.pth"))
    assert same(given, state(made), "")


@pytest.mark.parametrize("architecture", [OTHER, Architecture(4, (1, 1, 1, 1), 16)])
def test_weights_of_another_network_are_refused(tmp_path: Path, architecture: Architecture) -> None:
    torch.save(state(network(architecture=architecture)), tmp_path / "other.pth")
    with pytest.raises(ConfigurationError, match=r"other\.pth are of another network"):
        initialise(network(), str(tmp_path / "other.pth"))


def test_a_missing_file_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match=r"--initial nowhere\.pth: there is no such file"):
        initialise(network(), "nowhere.pth")


class Harmful:
    """What an attacker would hide in a pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code from a weights file was run",))


def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"features.conv0.weight": Harmful()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigurationError, match=r"evil\.pth is no checkpoint .* state dict"):
        initialise(network(), str(tmp_path / "evil.pth"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04" + bytes(50)])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"file\.pth is no checkpoint .* state dict"):
        initialise(network(), str(tmp_path / "file.pth"))


@pytest.mark.parametrize(
    "failure", [URLError("no route to host"), TimeoutError("timed out"), RuntimeError("bad hash")]
)
def test_imagenet_without_a_connection_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConfigurationError, match=r"--initial FILE, or .* --initial none"):
        initialise(network(), "imagenet")


def test_a_fresh_linear_layer_begins_with_the_frequency_of_each_finding() -> None:
    def image(**labels: int) -> DatasetImage:
        return DatasetImage(Path("image.png"), "set", labels=labels)

    images = [image(Mass=1, Hernia=0), image(Mass=0), image(Mass=0), image(Mass=0)]
    made = network(3)
    before = state(made)["classifier.bias"]
    set_bias_to_prevalence(
        made.classifier, images, ("Mass", "Hernia", "Edema"), UncertainPolicy.POSITIVE
    )
    bias = state(made)["classifier.bias"]
    # Mass: (1 + 0.5) / (4 + 1) = 0.3; Hernia: 0.5 / 2 = 0.25; nothing is known of Edema
    assert bias[0].item() == pytest.approx(np.log(0.3 / 0.7), abs=1e-6)
    assert bias[1].item() == pytest.approx(np.log(0.25 / 0.75), abs=1e-6)
    assert bias[2] == before[2]


def test_a_linear_layer_that_comes_with_the_weights_is_kept(tiny_checkpoint: Path) -> None:
    fits, other = network(len(NIH14), OTHER), network(2, OTHER)
    assert initialise(fits, str(tiny_checkpoint))
    assert not initialise(other, str(tiny_checkpoint))
    assert not initialise(other, "none")

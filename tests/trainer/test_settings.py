"""Settings that cannot work are refused before anything is read."""

import json
from dataclasses import fields
from typing import Any

import pytest
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.epoch import Device
from xemplar_trainer.settings import TrainingSettings
from xemplar_trainer.state import FORMER_NAMES, with_present_names

from xemplar.data.findings import NIH14
from xemplar.errors import ConfigurationError
from xemplar.imaging.preprocess import PreprocessSpec


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be greater than 0"),
        ({"patience": -1}, "patience is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1e-3}, r"learning_rate is -0\.001"),
        ({"workers": -1}, "workers is -1"),
        ({"images_per_epoch": -5}, "images_per_epoch is -5"),
        (
            {"threads": -2, "batch_size": -3},
            r"batch_size is -3; it .* 0; threads is -2; it .* at least 0",
        ),
        ({"size": 0}, "size is 0"),
        ({"size": 100}, "size 100 .* multiple of 32"),
        ({"small_epochs": 25}, "small_epochs is 25 of 25; at least one epoch must see images at"),
        ({"small_epochs": 2, "small_size": 100}, "size 100 .* multiple of 32"),
        (
            {"sampling_weights": {"nih14": 0.0}},
            "weights of data sets must be greater than 0, not .'nih14'",
        ),
        ({"fit": "crop"}, "fit 'crop' is none of stretch, pad"),
        ({"precision": "float16"}, "precision 'float16' is none of auto, float32, bfloat16"),
        ({"findings": ()}, "findings must be different names"),
        ({"findings": ("Effusion", "Pleural Effusion")}, "findings must be different names"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_name_and_value(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TrainingSettings(**wrong)


def test_findings_may_be_named_as_another_data_set_names_them() -> None:
    assert TrainingSettings(findings=("Pleural Effusion", " Edema")).findings == (
        "Effusion",
        "Edema",
    )


def test_the_spec_of_the_defaults_is_the_default_spec() -> None:
    assert TrainingSettings().spec == PreprocessSpec()
    assert TrainingSettings(size=96, fit="pad").spec == PreprocessSpec(96, "pad")


def test_all_settings_can_be_written_as_json() -> None:
    written = json.loads(json.dumps(TrainingSettings().as_json()))
    assert set(written) == {field.name for field in fields(TrainingSettings)}
    assert written["findings"] == list(NIH14)
    assert written["uncertain"] == "positive"


@pytest.mark.parametrize(
    ("device", "message"), [("tpu", "'tpu' is none of auto, cpu, cuda"), ("cuda", "sees no GPU")]
)
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, message: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=message):
        Device.choose(TrainingSettings(device=device), Distributed())


@pytest.mark.parametrize(("precision", "half"), [("float32", False), ("bfloat16", True)])
def test_the_arithmetic_is_the_one_that_is_asked_for(precision: str, half: bool) -> None:
    device = Device.choose(TrainingSettings(device="cpu", precision=precision), Distributed())
    assert device == Device("cpu", half)


@pytest.mark.parametrize("native", [False, True])
def test_bfloat16_is_taken_by_itself_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": native})
    assert Device.choose(TrainingSettings(device="cpu"), Distributed()).half is native


def test_settings_under_their_former_names_are_read_under_the_present_ones() -> None:
    stored = {"hint": 1.0, "lead": 26, "batch": 8, "seed": 3, "augmentation": {"hide": 0.6}}
    assert with_present_names(stored) == {
        "distillation_weight": 1.0,
        "warmup_epochs": 26,
        "batch_size": 8,
        "seed": 3,
        "augmentation": {"erasing_chance": 0.6},
    }
    present = json.loads(json.dumps(TrainingSettings().as_json()))
    assert with_present_names(present) == present
    assert present.keys() | present["augmentation"].keys() >= set(FORMER_NAMES.values())

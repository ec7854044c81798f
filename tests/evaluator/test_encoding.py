"""Images are embedded once, whatever happens."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator import encoding as module
from xemplar_evaluator.encoding import encode_images

from tests.evaluator.conftest import Phantoms
from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.model.densenet import EmbeddingHead


def test_an_image_is_encoded_as_the_service_encodes_it(phantoms: Phantoms, tmp_path: Path) -> None:
    image = phantoms.source.dataset.images[0]
    encoded = encode_images([image], {0}, phantoms.encoder, tmp_path)
    inputs = preprocess(decode(image.path.read_bytes()), phantoms.encoder.checkpoint.card.spec)
    features = phantoms.encoder.encode(inputs[None])
    assert np.array_equal(encoded.inputs[0], inputs)
    assert np.array_equal(encoded.embedding, features.embedding)
    assert np.array_equal(encoded.maps[0], features.maps[0])
    assert encoded.shapes.tolist() == [[64, 64]]


def test_maps_are_kept_of_the_wanted_images_only(phantoms: Phantoms, tmp_path: Path) -> None:
    images = phantoms.source.dataset.images[:20]
    encoded = encode_images(images, {3, 18}, phantoms.encoder, tmp_path)
    assert set(encoded.maps) == {3, 18}
    head = EmbeddingHead.of(phantoms.encoder.checkpoint.weights)
    departure = head.project((encoded.maps[18] - head.mean).mean(axis=(1, 2)))
    assert np.allclose(departure / np.linalg.norm(departure), encoded.embedding[18], atol=1e-5)


def test_what_is_finished_is_not_done_again(
    phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD", 16)
    images = phantoms.source.dataset.images[:40]
    whole = encode_images(images, {0}, phantoms.encoder, tmp_path)
    (tmp_path / "images-000016.npz").unlink()  # as if killed between the first shard and the last
    done: list[int] = []
    asked: list[int] = []

    class Counting:
        checkpoint = phantoms.encoder.checkpoint

        def encode(self, inputs):
            asked.append(len(inputs))
            return phantoms.encoder.encode(inputs)

    again = encode_images(images, {0}, Counting(), tmp_path, done.append)  # type: ignore[arg-type]
    assert asked == [16]
    assert np.array_equal(whole.embedding, again.embedding)
    assert whole.sha256 == again.sha256
    assert done[-1] == 40


def test_an_image_that_cannot_be_read_is_left_out_with_its_reason(
    phantoms: Phantoms, tmp_path: Path
) -> None:
    images = list(phantoms.source.dataset.images[:3])
    images[1] = replace(images[1], path=tmp_path / "absent.png")
    for _ in range(2):  # as it is found, and as it is kept
        encoded = encode_images(images, {2}, phantoms.encoder, tmp_path / "work")
        assert encoded.indices.tolist() == [0, 2]
        assert set(encoded.maps) == {1}
        ((place, reason),) = encoded.unreadable
        assert place == 1
        assert "No such file" in reason

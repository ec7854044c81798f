"""The network's architecture, PyTorch module, and features."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torchvision.models import densenet121, densenet169

from tests.images import TINY, drawn_image, seeded_weights
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.densenet import EMBEDDING, MEAN, Architecture, EmbeddingHead, features, shapes
from xemplar.model.pytorch import DenseNetwork, load_weights, weights_of

SPEC = PreprocessSpec(size=64)


def network_of(seed: int = 0) -> DenseNetwork:
    network = DenseNetwork(TINY, 3, SPEC)
    load_weights(network, seeded_weights(TINY, 3, seed))
    return network.eval()


def inputs(count: int) -> npt.NDArray[np.uint8]:
    return np.stack([drawn_image(seed, 64, 64) for seed in range(count)])


def test_densenet_169_has_an_embedding_of_1664() -> None:
    assert Architecture().embedding_size == 1664
    assert Architecture(projection=256).embedding_size == 256
    assert Architecture(projection=256).channels == 1664


@pytest.mark.parametrize(
    ("architecture", "build"),
    [
        (Architecture(), densenet169),
        (Architecture(blocks=(6, 12, 24, 16)), densenet121),
    ],
    ids=["169", "121"],
)
def test_the_shapes_of_the_weights_are_torchvisions(
    architecture: Architecture, build: type
) -> None:
    with torch.device("meta"):
        state = build(num_classes=5).state_dict()
    assert shapes(architecture, 5, 224) == {
        name: tuple(value.shape) for name, value in state.items() if "num_batches" not in name
    } | {MEAN: (architecture.embedding_size, 7, 7)}


def test_the_tiny_weights_have_the_shapes_that_their_architecture_says() -> None:
    weights = seeded_weights(TINY, 3)
    assert shapes(TINY, 3, 64) == {name: value.shape for name, value in weights.items()}


def test_our_forward_gives_torchvisions_logits() -> None:
    network = network_of()
    grey = torch.from_numpy(inputs(4)).float() / 255
    with torch.inference_mode():
        ours, theirs = network(grey), network.dense(network.normalise(grey))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_images_are_replicated_to_three_channels_and_normalised() -> None:
    # grey 0.5: (0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225
    channels = network_of().normalise(torch.full((1, 64, 64), 0.5))
    assert channels.shape == (1, 3, 64, 64)
    torch.testing.assert_close(
        channels[0, :, 10, 20], torch.tensor([0.0655, 0.1964, 0.4178]), rtol=0, atol=1e-4
    )


def test_weights_survive_a_round_trip_through_the_network() -> None:
    weights = seeded_weights(TINY, 3)
    out = weights_of(network_of())
    assert out.keys() == weights.keys() - set(EMBEDDING)
    for name, value in out.items():
        np.testing.assert_array_equal(value, weights[name])


@pytest.mark.parametrize("change", ["lacks", "adds", "differs"])
def test_weights_of_another_network_are_rejected(change: str) -> None:
    weights = seeded_weights(TINY, 3)
    if change == "lacks":
        del weights["features.conv0.weight"]
    elif change == "adds":
        weights["features.conv9.weight"] = np.zeros((1, 1, 1, 1), np.float32)
    else:
        weights["features.conv0.weight"] = np.zeros((9, 3, 7, 7), np.float32)
    with pytest.raises(RuntimeError, match=r"features\.conv[09]\.weight"):
        load_weights(DenseNetwork(TINY, 3, SPEC), weights)


def test_embedding_and_logits_follow_from_the_maps_by_hand() -> None:
    # one image, two channels, 2 x 2 places: means 3 and 4, which are 3 more and 4 less than usual
    maps = np.array([[[[3, 3], [3, 3]], [[0, 16], [0, 0]]]], np.float32)
    found = features(
        maps,
        np.float32([[1, 0], [1, 2], [-1, 0.5]]),
        np.float32([0, 0.5, 0]),
        EmbeddingHead(np.float32([[[0, 0], [0, 0]], [[32, 0], [0, 0]]])),
    )
    np.testing.assert_allclose(found.embedding, [[0.6, -0.8]], rtol=1e-6)
    np.testing.assert_allclose(found.logits, [[3, 11.5, -1]], rtol=1e-6)
    assert found.maps is maps


def test_a_projected_embedding_by_hand() -> None:
    # as above, 3 more and 4 less than usual; projected to 3 * 4 - 4 * 0 = 12 and 3 - 4 * -0.5 = 5
    maps = np.array([[[[3, 3], [3, 3]], [[0, 16], [0, 0]]]], np.float32)
    mean = np.float32([[[0, 0], [0, 0]], [[32, 0], [0, 0]]])
    head = EmbeddingHead(mean, np.float32([[4, 0], [1, -0.5]]))
    found = features(maps, np.float32([[1, 0]]), np.float32([0]), head)
    np.testing.assert_allclose(found.embedding, [[12 / 13, 5 / 13]], rtol=1e-6)
    np.testing.assert_allclose(found.logits, [[3]], rtol=1e-6)
    assert (head.dimension, EmbeddingHead(mean).dimension) == (2, 2)


def test_an_image_equal_to_the_mean_activation_has_a_zero_embedding() -> None:
    found = features(
        np.ones((1, 2, 2, 2), np.float32),
        np.ones((1, 2)),
        np.ones(1),
        EmbeddingHead(np.ones((2, 2, 2))),
    )
    np.testing.assert_array_equal(found.embedding, [[0, 0]])

"""Grad-CAM in closed form against pytorch-grad-cam; similarity evidence against the cosine."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from tests.agreement import assert_agree
from tests.images import TINY, drawn_image, seeded_weights
from xemplar.data.findings import NIH14
from xemplar.errors import InvalidArgument
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import EmbeddingHead, Features, features
from xemplar.model.encoder import Encoder, Precision, PyTorchBackend
from xemplar.model.explain import grad_cam, matching_locations, similarity_evidence

SIZE = 224  # a grid of 7 x 7, as it is served


@pytest.fixture(scope="module")
def backend() -> PyTorchBackend:
    card = Card(NIH14, PreprocessSpec(SIZE), TINY)
    return PyTorchBackend(
        Checkpoint(card, seeded_weights(TINY, 14, size=SIZE), ""), Precision.FLOAT32
    )


@pytest.fixture(scope="module")
def classifier() -> npt.NDArray[np.float32]:
    return seeded_weights(TINY, 14, size=SIZE)["classifier.weight"]


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    return np.stack([drawn_image(seed, SIZE, SIZE) for seed in range(3)])


@pytest.fixture(scope="module")
def encoded(backend: PyTorchBackend, images: npt.NDArray[np.uint8]) -> Features:
    card = Card(NIH14, PreprocessSpec(SIZE), TINY)
    return Encoder(Checkpoint(card, seeded_weights(TINY, 14, size=SIZE), ""), backend).encode(
        images
    )


@pytest.fixture(scope="module")
def cams(encoded: Features, classifier: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return grad_cam(encoded.maps, classifier)


@pytest.fixture(scope="module")
def reference(backend: PyTorchBackend, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """pytorch-grad-cam's maps (N, F, 224, 224), each resized and stretched to 0 .. 1 by it.

    The target is the rectifier behind torchvision's features, so that activation and gradient are
    both those of the rectified maps. (With ``features[-1]`` the library captures the maps after
    torchvision rectified them in place, but the gradient before.)
    """
    network = backend.network
    tensor = network.normalise(torch.from_numpy(images).float() / 255)
    rectifier = torch.nn.ReLU()
    pooled = torch.nn.Sequential(
        network.dense.features, rectifier, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    network_of_layers = torch.nn.Sequential(pooled, network.dense.classifier).eval()
    torch.testing.assert_close(network_of_layers(tensor), network.dense(tensor))
    with GradCAM(network_of_layers, [rectifier]) as explainer:
        maps = [
            explainer(tensor, [ClassifierOutputTarget(finding)] * len(images))
            for finding in range(len(NIH14))
        ]
    return np.stack(maps, axis=1)


@pytest.mark.parametrize("finding", range(14), ids=NIH14)
def test_the_closed_form_is_pytorch_grad_cam(
    cams: npt.NDArray[np.float32], reference: npt.NDArray[np.float32], finding: int
) -> None:
    # the library's order: to 0 .. 1, resized, and once more to 0 .. 1
    ours = scale_cam_image(scale_cam_image(cams[:, finding], (SIZE, SIZE)))
    for one, other in zip(ours, reference[:, finding], strict=True):
        # a map may be zero everywhere; then the library's is, too
        assert other.max() == pytest.approx(one.max(), abs=1e-3)
        np.testing.assert_allclose(one, other, atol=0.005)
        if one.max() > 0:
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99999


def test_the_compared_maps_are_not_empty(cams: npt.NDArray[np.float32]) -> None:
    shown = (cams.max(axis=(2, 3)) > 0) & (cams.std(axis=(2, 3)) > 0)
    assert shown.any(axis=0).sum() >= 7


def test_one_map_worked_out_by_hand() -> None:
    # alpha = w / 4: 0.75 and -0.25. Map: 0.75 R0 - 0.25 R1, rectified.
    maps = np.array([[[[8, 4], [0, 0]], [[4, 8], [4, 4]]]], np.float32)
    cams = grad_cam(maps, np.float32([[3, -1]]))
    np.testing.assert_allclose(cams, [[[[5, 1], [0, 0]]]])


def test_for_and_against_a_finding_add_up_to_its_logit(
    encoded: Features, classifier: npt.NDArray[np.float32]
) -> None:
    bias = seeded_weights(TINY, 14, size=SIZE)["classifier.bias"]
    signed = grad_cam(encoded.maps, classifier) - grad_cam(encoded.maps, -classifier)
    assert_agree(signed.sum(axis=(2, 3)) + bias, encoded.logits)


def test_maps_are_rectified_and_not_stretched(cams: npt.NDArray[np.float32]) -> None:
    assert cams.shape == (3, 14, 7, 7)
    assert cams.dtype == np.float32
    assert cams.min() == 0
    assert not np.allclose(cams.max(axis=(2, 3)), 1)


def test_maps_do_not_depend_on_the_batch(
    encoded: Features, classifier: npt.NDArray[np.float32], cams: npt.NDArray[np.float32]
) -> None:
    for n in range(3):
        alone = grad_cam(encoded.maps[n : n + 1], classifier)
        assert_agree(alone[0], cams[n])


@pytest.mark.parametrize("shape", [(14, 5), (5,), (1, 14, 5)])
def test_a_classifier_of_another_shape_is_rejected(
    encoded: Features, shape: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidArgument, match=r"classifier of shape .* does not fit maps with"):
        grad_cam(encoded.maps, np.zeros(shape, np.float32))


# ---- Similarity evidence ------------------------------------------------------------------------

MAPS = arrays(np.float32, (1, 6, 4, 4), elements=st.floats(0, 1000, width=32))
MEANS = arrays(np.float32, (6, 4, 4), elements=st.floats(0, 1000, width=32))
PROJECTIONS = st.none() | arrays(np.float32, (3, 6), elements=st.floats(-2, 2, width=32))


def of_maps(maps: npt.NDArray[np.float32], head: EmbeddingHead) -> Features:
    return features(maps, np.zeros((1, maps.shape[1]), np.float32), np.zeros(1, np.float32), head)


@settings(deadline=None)
@given(one=MAPS, other=MAPS, mean=MEANS, projection=PROJECTIONS)
def test_evidence_adds_up_to_the_cosine_in_both_directions(
    one: npt.NDArray[np.float32],
    other: npt.NDArray[np.float32],
    mean: npt.NDArray[np.float32],
    projection: npt.NDArray[np.float32] | None,
) -> None:
    head = EmbeddingHead(mean, projection)
    radiograph, another = of_maps(one, head), of_maps(other, head)
    cosine = float(radiograph.embedding[0] @ another.embedding[0])
    # places far from the mean that cancel out leave a sum that is small beside its summands
    for this, that in ((radiograph, another), (another, radiograph)):
        evidence = similarity_evidence(this, that.embedding[0])
        assert evidence.sum() == pytest.approx(
            cosine, abs=1e-4 + 1e-6 * float(np.abs(evidence).sum())
        )


def test_an_image_projected_to_zero_has_no_evidence() -> None:
    head = EmbeddingHead(np.full((6, 4, 4), 4, np.float32), np.zeros((3, 6), np.float32))
    radiograph = of_maps(np.full((1, 6, 4, 4), 900, np.float32), head)
    assert not radiograph.embedding.any()
    assert not similarity_evidence(radiograph, np.float32([1, 0, 0])).any()


def test_evidence_of_real_features_adds_up_to_their_cosine(encoded: Features) -> None:
    for q in range(3):
        for r in range(3):
            evidence = similarity_evidence(encoded.one(q), encoded.embedding[r])
            cosine = encoded.embedding[q] @ encoded.embedding[r]
            assert evidence.sum() == pytest.approx(cosine, abs=1e-4)
            assert evidence.shape == (7, 7)
            assert evidence.dtype == np.float32


def test_evidence_is_positive_where_centred_features_agree() -> None:
    # Channel 0 is usually 1 and channel 1 is usually 2, but for one place where it is 40. This
    # image has more of channel 0 in one corner and less of channel 1 in another, and is usual
    # elsewhere.
    mean = np.float32([[[1, 1], [1, 1]], [[40, 2], [2, 2]]])
    radiograph = of_maps(
        np.float32([[[[1, 13], [1, 1]], [[40, 2], [-14, 2]]]]), EmbeddingHead(mean)
    )
    # G - m = (12/4, -16/4), its length 5; the other image has more of channel 0 alone
    np.testing.assert_allclose(
        similarity_evidence(radiograph, np.float32([1, 0])), [[0, 0.6], [0, 0]], atol=1e-6
    )
    # an image with more of channel 1, too: that speaks against
    np.testing.assert_allclose(
        similarity_evidence(radiograph, np.float32([0.8, 0.6])), [[0, 0.48], [-0.48, 0]], atol=1e-6
    )


@pytest.mark.parametrize("other", [(3,), (2, 1), ()])
def test_an_embedding_of_another_network_has_no_evidence(other: tuple[int, ...]) -> None:
    radiograph = of_maps(
        np.ones((1, 2, 2, 2), np.float32), EmbeddingHead(np.zeros((2, 2, 2), np.float32))
    )
    with pytest.raises(
        InvalidArgument, match=r"does not fit this image's network; it must be \(2,\)"
    ):
        similarity_evidence(radiograph, np.zeros(other, np.float32))


def test_evidence_is_computed_for_one_image_at_a_time(encoded: Features) -> None:
    with pytest.raises(InvalidArgument, match=r"not for 3; use Features\.one"):
        similarity_evidence(encoded, encoded.embedding[0])


def test_matching_locations_add_up_to_both_evidences_and_to_the_cosine(encoded: Features) -> None:
    radiograph, other = encoded.one(0), encoded.one(1)
    shares = matching_locations(radiograph, other)
    assert shares.shape == (49, 49)
    assert shares.dtype == np.float32
    assert shares.min() < 0 < shares.max()
    cosine = float(encoded.embedding[0] @ encoded.embedding[1])
    assert shares.sum() == pytest.approx(cosine, abs=1e-4)
    of_image = similarity_evidence(radiograph, encoded.embedding[1])
    of_other = similarity_evidence(other, encoded.embedding[0])
    np.testing.assert_allclose(shares.sum(axis=1).reshape(7, 7), of_image, atol=1e-5)
    np.testing.assert_allclose(shares.sum(axis=0).reshape(7, 7), of_other, atol=1e-5)
    np.testing.assert_allclose(matching_locations(other, radiograph), shares.T, atol=1e-7)


def test_an_image_equal_to_the_mean_activation_matches_nowhere(encoded: Features) -> None:
    usual = of_maps(encoded.head.mean[None], encoded.head)
    assert not matching_locations(usual, encoded.one(1)).any()


def test_maps_of_different_shapes_have_no_matching_locations(encoded: Features) -> None:
    radiograph = encoded.one(0)
    fewer = of_maps(radiograph.maps[:, :2], EmbeddingHead(radiograph.head.mean[:2]))
    with pytest.raises(InvalidArgument, match="both must be"):
        matching_locations(radiograph, fewer)

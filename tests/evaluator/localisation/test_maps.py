"""Every method's map in closed form against the library run with hooks; and what baselines are."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.localisation.maps import (
    BASELINES,
    EVIDENCE,
    METHODS,
    TYPICAL,
    UNIFORM,
    Explainer,
    Map,
    centred,
)

from tests.agreement import assert_agree
from tests.evaluator.localisation.drawn import case, data_of, images_of, unit_vectors
from tests.images import PLAIN, drawn_image, seeded_weights
from xemplar.data.boxes import Box
from xemplar.data.findings import NIH14
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import MEAN
from xemplar.model.encoder import Encoder, Precision, PyTorchBackend
from xemplar.model.explain import similarity_evidence

SIZE, IMAGES = 224, 2  # a grid of 7 x 7, as it is served
LIBRARY = {
    "Grad-CAM": GradCAM,
    "Grad-CAM++": GradCAMPlusPlus,
    "HiResCAM": HiResCAM,
    "LayerCAM": LayerCAM,
    "EigenCAM": EigenCAM,
}
NAMED = {"HiResCAM": "Grad-CAM"}
"""Methods that are another one behind global average pooling."""

BOX = Box("Mass", "Mass", 0.2, 0.2, 0.5, 0.5)


@pytest.fixture(scope="module")
def backend() -> PyTorchBackend:
    checkpoint = Checkpoint(
        Card(NIH14, PreprocessSpec(SIZE), PLAIN), seeded_weights(PLAIN, 14, size=SIZE), ""
    )
    return PyTorchBackend(checkpoint, Precision.FLOAT32)


@pytest.fixture(scope="module")
def inputs() -> npt.NDArray[np.uint8]:
    return np.stack([drawn_image(seed, SIZE, SIZE) for seed in range(IMAGES)])


@pytest.fixture(scope="module")
def data(backend: PyTorchBackend, inputs: npt.NDArray[np.uint8]) -> EvaluationData:
    """Two encoded images, and indexed cases of which six have a mass, each unlike the others."""
    checkpoint = Checkpoint(
        Card(NIH14, PreprocessSpec(SIZE), PLAIN), seeded_weights(PLAIN, 14, size=SIZE), ""
    )
    encoder = Encoder(checkpoint, backend)
    maps = encoder.encode(inputs).maps
    queries = images_of(encoder, maps, dict.fromkeys(range(IMAGES), (BOX,)))
    cases = [
        case(0, "Mass", "patientq0"),  # the query's own patient
        case(1, "Mass", "another", case_id="caseq0"),  # the query's own picture
        case(2, "Hernia", "another"),  # another finding
        case(3, "Mass", None),  # a patient that is not known
        *(case(n, "Mass", f"other{n}") for n in range(4, 10)),
    ]
    random = np.random.default_rng(0).random((len(cases), maps.shape[1])).astype(np.float32)
    embedding = random / np.linalg.norm(random, axis=1, keepdims=True)
    return data_of(encoder, queries, images_of(encoder, maps[:0], {}), cases, embedding)


@pytest.fixture(scope="module")
def explained(data: EvaluationData) -> list[list[Mapping[str, Map | None]]]:
    """Image by image and finding by finding."""
    explainer = Explainer(data)
    return [
        [explainer.explain(data.queries, row, finding) for finding in NIH14]
        for row in range(IMAGES)
    ]


@pytest.mark.parametrize("method", LIBRARY)
def test_the_closed_form_is_the_library_s_map(
    backend: PyTorchBackend,
    inputs: npt.NDArray[np.uint8],
    explained: list[list[Mapping[str, Map | None]]],
    method: str,
) -> None:
    network = backend.network
    tensor = network.normalise(torch.from_numpy(inputs).float() / 255)
    rectifier = torch.nn.ReLU()  # in place as torchvision's, it would hide the maps' own gradient
    layers = (network.dense.features, rectifier, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    dense = torch.nn.Sequential(*layers, network.dense.classifier).eval()
    shown = 0
    with LIBRARY[method](dense, [rectifier]) as library:
        for place in range(14):
            theirs = library(tensor, [ClassifierOutputTarget(place)] * IMAGES)
            for row in range(IMAGES):
                own = explained[row][place][NAMED.get(method, method)]
                assert own is not None
                # the library's order: to 0 .. 1, resized, and once more to 0 .. 1
                ours = scale_cam_image(scale_cam_image(own[None], (SIZE, SIZE)))[0]
                np.testing.assert_allclose(ours, theirs[row], atol=0.005)
                shown += ours.max() > 0.5
    assert shown >= 7  # the comparison is about maps that show something


def test_eigen_cam_is_the_library_s_where_channels_abound(backend: PyTorchBackend) -> None:
    # 9 channels of the tiny network fit in 49 places as they are; 200 do not
    maps = np.random.default_rng(1).gamma(1, size=(200, 7, 7)).astype(np.float32)
    maps[:120, 2:4, 3:6] += 2
    weights = {"classifier.weight": np.ones((14, 200)), "classifier.bias": np.zeros(14)}
    weights[MEAN] = np.zeros((200, 7, 7))
    encoder = Encoder(Checkpoint(Card(NIH14, PreprocessSpec(SIZE), PLAIN), weights, ""), backend)
    images = images_of(encoder, maps[None], {0: (BOX,)})
    nobody = images_of(encoder, maps[None][:0], {})
    data = data_of(encoder, images, nobody, [], images.embedding[:0])
    own = Explainer(data).explain(images, 0, "Mass")["EigenCAM"]
    theirs = EigenCAM(torch.nn.Linear(1, 1), []).get_cam_image(
        None, None, None, maps[None], None, False
    )[0]
    np.testing.assert_allclose(own, np.maximum(theirs, 0), atol=1e-4)


def test_every_method_is_a_map_that_is_nowhere_negative(
    explained: list[list[Mapping[str, Map | None]]],
) -> None:
    mass = NIH14.index("Mass")
    assert tuple(explained[0][mass]) == METHODS
    for heatmap in explained[0][mass].values():
        assert heatmap is not None
        assert heatmap.shape == (7, 7)
        assert heatmap.dtype == np.float32
        assert heatmap.min() >= 0


def test_evidence_is_what_speaks_for_the_five_most_similar_that_have_the_finding(
    data: EvaluationData,
    inputs: npt.NDArray[np.uint8],
    explained: list[list[Mapping[str, Map | None]]],
) -> None:
    queries, allowed = data.queries, data.candidates.embedding[3:]
    nearest = sorted(allowed, key=lambda e: -float(e @ queries.embedding[0]))[:5]
    image = data.encoder.encode(inputs[:1])
    wanted = np.mean([similarity_evidence(image, e) for e in nearest], axis=0)
    assert wanted.min() < 0 < wanted.max()
    found = explained[0][NIH14.index("Mass")][EVIDENCE]
    assert found is not None
    assert_agree(found, np.maximum(wanted, 0), np.abs(wanted).max())


def test_where_nobody_else_has_the_finding_there_is_no_evidence(
    explained: list[list[Mapping[str, Map | None]]],
) -> None:
    assert explained[0][NIH14.index("Edema")][EVIDENCE] is None
    assert explained[0][NIH14.index("Hernia")][EVIDENCE] is not None


def test_baselines_do_not_look_at_the_image(
    data: EvaluationData, explained: list[list[Mapping[str, Map | None]]]
) -> None:
    for method in BASELINES:
        np.testing.assert_array_equal(explained[0][0][method], explained[1][0][method])
    np.testing.assert_array_equal(explained[0][3][UNIFORM], np.ones((7, 7)))
    np.testing.assert_array_equal(explained[0][3][TYPICAL], data.candidates.mean_cams[3])


def test_the_gaussian_falls_by_the_square_of_the_distance_in_quarters_of_the_side() -> None:
    # centres of 4 cells lie at -3/8, -1/8, 1/8, 3/8 of the side: 1.5 and 0.5 sigmas
    near, far = np.exp(-0.125), np.exp(-1.125)
    np.testing.assert_allclose(centred(4)[0], [far * far, far * near, far * near, far * far], 1e-6)
    np.testing.assert_allclose(centred(4)[1, 1], near * near, 1e-6)
    assert centred(7)[3, 3] == 1


def test_unit_vectors_of_the_tests_are_those_of_the_network(data: EvaluationData) -> None:
    maps = np.stack(list(data.queries.maps.values()))
    assert_agree(unit_vectors(maps), data.queries.embedding)

"""Map of an archive: embeddings projected onto a plane, as an interactive page without network."""

import json
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case
from xemplar.errors import ConfigurationError
from xemplar.retrieval.archive import Embeddings

Points = npt.NDArray[np.float32]

MOST = 20
"""Values that a colour stands for; the rarest others share one."""

OTHERS, UNKNOWN = "others", "unknown"

FEWEST = 20
"""Cases that PaCMAP needs for its neighbours."""


class Method(StrEnum):
    """Projections."""

    PACMAP = "pacmap"
    PCA = "pca"


ABOUT = {
    Method.PACMAP: "PaCMAP (Wang et al., JMLR 2021): near points have similar embeddings; "
    "distances between far groups, and sizes of groups, mean little.",
    Method.PCA: "Principal components: the two directions in which embeddings differ most.",
}


def project(vectors: npt.NDArray[np.float32], method: Method, seed: int = 0) -> Points:
    """Project embeddings onto a plane.

    Args:
        vectors: float32 (n, C), unit length.
        method: of the projection.
        seed: of PaCMAP.

    Returns:
        float32 (n, 2), in [0, 1].

    Raises:
        ConfigurationError: there are too few cases, or the method's package is missing.
    """
    least = FEWEST if method is Method.PACMAP else 2
    if len(vectors) < least:
        raise ConfigurationError(
            f"{len(vectors)} cases are too few for a map by {method}; it takes {least}"
        )
    points = _pacmap(vectors, seed) if method is Method.PACMAP else _pca(vectors)
    low, high = points.min(axis=0), points.max(axis=0)
    span = max(float((high - low).max()), 1e-12)
    scaled: Points = (0.5 + (points - (low + high) / 2) / span).astype(np.float32)
    return scaled


def map_page(found: Embeddings, points: Points, method: Method) -> str:
    """Write the page.

    Args:
        found: cases of an archive.
        points: float32 (n, 2) in [0, 1], from `project`.
        method: that they come from.
    """
    cases = found.cases
    counts = Counter(finding for case in cases for finding in case.findings)
    schemes: dict[str, list[str | None]] = {
        "finding": [_rarest(case, counts) for case in cases],
        "source": [case.source for case in cases],
        "view": [case.view for case in cases],
        "sex": [case.sex for case in cases],
        "split": [case.split for case in cases],
    }
    content = {
        "about": f"{len(found):,} cases. {ABOUT[method]} Colours of several findings: the rarest "
        "one of a case. Research use, not for diagnosis.",
        "x": [round(float(value), 4) for value in points[:, 0]],
        "y": [round(float(value), 4) for value in points[:, 1]],
        "cases": [_text(case) for case in cases],
        "schemes": {name: _coded(values) for name, values in schemes.items()},
    }
    # no text of a label file may end the script
    data = json.dumps(content, ensure_ascii=True).replace("<", "\\u003c")
    folder = files(__package__)
    page = (folder / "map.html").read_text(encoding="utf-8")
    script = (folder / "map.js").read_text(encoding="utf-8")
    return page.replace("/*DATA*/", data).replace("/*SCRIPT*/", script)


def _pacmap(vectors: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float32]:
    try:
        import pacmap
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"this map needs {error.name}: pip install 'xemplar[map]'; or choose --method pca"
        ) from error
    neighbours = min(10, len(vectors) // 2)
    made = pacmap.PaCMAP(n_components=2, n_neighbors=neighbours, random_state=seed)
    return np.asarray(made.fit_transform(vectors, init="pca"), np.float32)


def _pca(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    centred = vectors - vectors.mean(axis=0)
    # of the covariance, (C, C): a million cases need no decomposition of their own
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ directions[:, -2:][:, ::-1], np.float32)


def _rarest(case: Case, counts: Counter[str]) -> str | None:
    """Choose the finding that tells most of a case."""
    return min(case.findings, key=lambda finding: (counts[finding], finding), default=None)


def _coded(values: Sequence[str | None]) -> dict[str, Any]:
    """Number values by frequency; the rarest beyond `MOST` share a number."""
    counts = Counter(value or UNKNOWN for value in values)
    names = [name for name, _ in counts.most_common(MOST)]
    if len(counts) > MOST:
        names.append(OTHERS)
    codes = {name: code for code, name in enumerate(names)}
    return {"values": names, "codes": [codes.get(v or UNKNOWN, len(names) - 1) for v in values]}


def _text(case: Case) -> str:
    told = (
        case.case_id, case.source, case.split, case.view, case.sex,
        None if case.age is None else f"{case.age} years", ", ".join(case.findings),
    )  # fmt: skip
    return " · ".join(one for one in told if one)

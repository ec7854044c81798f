"""Relevance of an indexed case to a query, by findings and severities."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import NO_FINDING

Matrix = npt.NDArray[np.float64]


def indicators(findings: Sequence[Sequence[str]], names: Sequence[str]) -> Matrix:
    """1 where an image has a finding, float64 (N, len(names))."""
    return np.array([[name in of for name in names] for of in findings], np.float64).reshape(
        len(findings), len(names)
    )


def names_of(*findings: Sequence[Sequence[str]]) -> list[str]:
    """All findings that occur, sorted; "No Finding" is none."""
    return sorted({name for part in findings for of in part for name in of} - {NO_FINDING})


def jaccard(own: Matrix, other: Matrix) -> Matrix:
    """Findings in common / findings in either, float64 (Q, M) in [0, 1]; 0 where neither has any.

    Args:
        own: of the queries, float64 (Q, n), 1 where present.
        other: of the cases, float64 (M, n), likewise.
    """
    shared = own @ other.T
    either = own.sum(axis=1)[:, None] + other.sum(axis=1)[None] - shared
    share: Matrix = shared / np.maximum(either, 1)
    return share


def shares_a_finding(own: Matrix, other: Matrix) -> Matrix:
    """1 where at least one finding is in common; arguments as of `jaccard`."""
    return (own @ other.T > 0).astype(np.float64)


def same_findings(own: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> Matrix:
    """1 where both have exactly the same findings; two normal images are the same, too.

    An image of which nothing is known is like no other.
    """
    queries, cases = ([frozenset(of) for of in part] for part in (own, other))
    return np.array([[bool(q) and q == c for c in cases] for q in queries], np.float64).reshape(
        len(queries), len(cases)
    )


def severities(
    images: Sequence[str | None], names: Sequence[str], severity: Mapping[str, Mapping[str, float]]
) -> Matrix:
    """Severity of each finding of each image, float64 (N, len(names)) in [0, 1]."""
    rows = [[severity.get(image or "", {}).get(name, 0.0) for name in names] for image in images]
    return np.array(rows, np.float64).reshape(len(images), len(names))


def overlap(own: Matrix, other: Matrix) -> Matrix:
    """Sum of the smaller / sum of the larger severities (Ruzicka 1958): `jaccard` with degrees.

    Args:
        own: severities of the queries, float64 (Q, n).
        other: of the cases, float64 (M, n).

    Returns:
        float64 (Q, M) in [0, 1]; 0 where neither has any.
    """
    smaller = np.minimum(own[:, None], other[None]).sum(axis=2)
    larger = np.maximum(own[:, None], other[None]).sum(axis=2)
    share: Matrix = np.divide(smaller, larger, out=np.zeros_like(smaller), where=larger > 0)
    return share

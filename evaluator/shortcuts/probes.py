"""Linear probes: view and sex from the embedding, findings from view, sex and age.

They are fitted on indexed cases and measured on the evaluated images, which are other patients'.
"""

import numpy as np
import numpy.typing as npt
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..auc import GUESSING, Judge, Truth, auc_of
from ..bootstrap import estimate_statistic
from ..data import EvaluationData, unrelated_cases
from ..ranking.rankers import demographics
from ..section import Cell

EMBEDDING_C, PEOPLE_C = 0.01, 1.0
"""scikit-learn's C, the inverse of the ridge: small for an embedding, which has more numbers than
there are cases."""

PROBED = ("view (AP or PA)", "sex")
"""Targets of the probes, in the order of the columns of `demographics`."""

Numbers = npt.NDArray[np.floating]


def predicted(known: Numbers, truth: npt.NDArray[np.bool_], asked: Numbers, c: float) -> Numbers:
    """Predicts log odds by a logistic regression, float64 (n,).

    Args:
        known: float (m, d), fitted on, standardised first; NaN counts as the mean.
        truth: bool (m,), with both values.
        asked: float (n, d).
        c: see `EMBEDDING_C`.
    """
    model = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=c, max_iter=1000),
    )
    odds: Numbers = model.fit(known, truth).decision_function(asked)
    return odds


def embedding_probes(data: EvaluationData) -> tuple[list[list[Cell]], list[str]]:
    """Measures how well the embedding predicts view and sex.

    Returns:
        Rows (what, AUC, chance, fitted on, measured on), and those of `PROBED` that are left out
        because the images or the cases have them unknown or all the same.
    """
    queries, candidates, settings = data.queries, data.candidates, data.settings
    fitted_on = unrelated_cases(data)
    own, other = demographics(queries.records), demographics(candidates.cases)[fitted_on]
    rows: list[list[Cell]] = []
    left_out = []
    for column, what in enumerate(PROBED):
        asked = np.flatnonzero(np.isfinite(own[:, column]))
        known = np.flatnonzero(np.isfinite(other[:, column]))
        truth, fitted = own[asked, column] > 0, other[known, column] > 0
        if len(set(truth)) < 2 or len(set(fitted)) < 2:
            left_out.append(what)
            continue
        vectors = candidates.embedding[fitted_on][known]
        odds = predicted(vectors, fitted, queries.embedding[asked], EMBEDDING_C)
        patients = [queries.patients[row] for row in asked]
        auc = estimate_statistic(auc_of(truth, odds), patients, settings.resamples, settings.seed)
        rows.append([what, auc, GUESSING, len(known), len(asked)])
    return rows, left_out


def people_scores(data: EvaluationData, judge: Judge) -> tuple[Numbers, list[int]]:
    """Predicts every finding from view, sex and age alone.

    Returns:
        Log odds, float64 (N, F), and the columns of the findings of `Truth.judged` that could be
        fitted; the other columns are NaN. None can where nothing of that is known of the images
        or of the cases.
    """
    cases = [data.candidates.cases[index] for index in unrelated_cases(data)]
    own, other = demographics(data.queries.records), demographics(cases)
    truth = Truth.of([case.labels for case in cases], data.findings)
    scores = np.full(judge.truth.present.shape, np.nan)
    if not (np.isfinite(own) & np.isfinite(other).any(axis=0)).any():
        return scores, []
    columns = [column for column in judge.truth.judged if column in truth.judged]
    for column in columns:
        known = truth.known[:, column]
        scores[:, column] = predicted(other[known], truth.present[known, column], own, PEOPLE_C)
    return scores, columns

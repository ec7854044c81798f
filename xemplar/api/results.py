"""Responses of the service."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from xemplar.api.examples import CASE_ID
from xemplar.api.maps import Cosine, MapsOut
from xemplar.api.pixels import ValuesOut
from xemplar.api.words import AskedWordsOut, RanksOut, ReportOut
from xemplar.data.outcomes import Diagnosis, Proof
from xemplar.errors import Doubt

NOTICE = "Research use, not for diagnosis."

Probability = Annotated[float, Field(ge=0, le=1)]


class Problem(BaseModel):
    """Error in the format of RFC 9457."""

    type: str = Field(examples=["urn:xemplar:problem:UnknownFinding"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(description="Cause with value and limit, and what to do.")
    instance: str = Field(
        description="Identifies the request, like X-Request-ID and the service's log.",
        examples=["urn:xemplar:request:6f1c7a3e9b524d0c8f1e2a7b5c3d9e04"],
    )


class PredictionOut(BaseModel):
    """Prediction of the network for one finding."""

    finding: str = Field(examples=["Effusion"])
    probability: Probability = Field(
        description="Calibrated on validation images of one population, where the finding has the "
        "base rate."
    )
    base_rate: Probability | None = Field(
        description="Share of that population with the finding; null if the checkpoint has none."
    )
    lift: float | None = Field(
        ge=0,
        description="probability / base_rate: 3 means three times as likely as usual; null without "
        "a base rate.",
    )
    threshold: Probability | None = Field(
        description="Probability from which on the finding is called present; null if it never is, "
        "because too few validation images show it."
    )
    called: bool | None = Field(
        description="True if the probability reaches the threshold, otherwise no map is drawn; "
        "null without a threshold."
    )
    standing: Literal["called", "raised", "usual"] = Field(
        description="How to show the finding: usual (grey) if it is not more likely than usual; "
        "otherwise called (bold), or raised below the threshold. No called finding has a lower "
        "lift than a usual one."
    )


class OutcomeOut(BaseModel):
    """Verified outcome of a case."""

    diagnosis: Diagnosis
    proof: Proof = Field(description="Kind of proof: the reference standard.")
    days: int | None = Field(
        description="Days from the study to the proof, negative for an earlier proof; null if not "
        "known."
    )


SizeMm = Annotated[
    tuple[float, float] | None,
    Field(
        description="Height and width of the image in millimetres, by the pixel spacing of its "
        "DICOM header, mostly that at the detector: what is nearer to the tube is smaller than it "
        "appears. Null where there is none.",
        examples=[[426.0, 350.0]],
    ),
]


class CaseOut(BaseModel):
    """Past case."""

    case_id: str = Field(examples=[CASE_ID])
    source: str = Field(description="Data set of the case.", examples=["nih14"])
    findings: list[str] = Field(
        description="Findings present by the label file; ['No Finding'] if all known ones are "
        "absent, [] if nothing is known.",
    )
    sex: Literal["F", "M"] | None
    age: int | None = Field(description="In years.")
    view: str | None = Field(examples=["PA"])
    followup: int | None = Field(
        description="Number of the study among its patient's, ascending; null if not told."
    )
    day: int | None = Field(
        description="Days since the patient's first study, as told by data set or user; null if "
        "not told. The timeline also has days from DICOM headers."
    )
    outcomes: list[OutcomeOut] = Field(
        description="What the study turned out to be; empty if nothing was verified."
    )
    size_mm: SizeMm
    image_url: str


class SteeringOut(BaseModel):
    """Score of a case in a steered search; `image`, `like` and `unlike` add up to it."""

    score: Cosine = Field(
        description="Cosine of the case's embedding and the search vector, which cases are ranked "
        "by."
    )
    image: float = Field(
        description="Part of the query image, or of its region; of all images of the question."
    )
    like: float = Field(description="Part of the cases in `like`.")
    unlike: float = Field(description="Part of the cases in `unlike`; mostly negative.")
    images: list[float] = Field(
        [],
        exclude_if=lambda images: not images,
        description="Part of each image of the question, in the order of the answer's `images`; "
        "they add up to `image`. Absent for one image.",
    )


class QuestionImageOut(BaseModel):
    """Image of a question of several: a query's or a case's."""

    query_id: str | None = Field(description="Null for a case.")
    case_id: str | None = Field(description="Null for a query.")
    image_url: str
    warnings: list[str] = Field(description="Doubts about the image of a query.")


class NeighbourOut(CaseOut):
    """Similar case."""

    rank: int = Field(ge=1)
    similarity: Cosine = Field(
        description="Cosine of the embeddings: 0 for images that share only what all images share, "
        "1 for the same image; not a probability."
    )
    chance: Probability | None = Field(
        description="Chance that it shares a finding with the query, as measured for images of "
        "this similarity under the conditions of `chance_measured_on`; null if the index is not "
        "calibrated."
    )
    closer_than: Probability = Field(
        description="Share of all cases that are less similar to the query than this one, of an "
        "even sample of at most 1,000, whatever the filters."
    )
    more_of_patient: list[str] = Field(
        description="With one_per_patient: ids of other cases of the same patient, at most 20, "
        "whether or not they meet the filters."
    )
    probability: Probability = Field(
        description="Probability of the explained finding in this case."
    )
    called: bool | None = Field(
        description="True if that reaches the finding's threshold; null without a threshold."
    )
    steering: SteeringOut | None = Field(
        None,
        exclude_if=lambda steering: steering is None,
        description="With like, unlike, region or several images alone.",
    )
    ranks: RanksOut | None = Field(
        None, exclude_if=lambda ranks: ranks is None, description="With text alone."
    )
    report: ReportOut | None = Field(
        None, exclude_if=lambda report: report is None, description="Absent if the case has none."
    )
    overlay_url: str = Field(description="Grad-CAM of the case for the explained finding.")
    evidence_url: str = Field(description="Similarity evidence in this case.")
    query_evidence_url: str = Field(description="Similarity evidence in the query for this case.")
    overlay: str | None = Field(None, description="With include=overlays: a data URI (JPEG).")


class MeasuredOn(BaseModel):
    """Images that something was measured on; where findings are not as frequent, it differs."""

    source: str = Field(description="Data set of the images.", examples=["nih14"])
    images: int = Field(description="Number of images.")
    ill: Probability | None = Field(
        description="Share of these images that show a finding; null if it was not measured."
    )


class CalibratedOn(MeasuredOn):
    """Images that probabilities were calibrated on: validation images of one data set."""

    labelled: int = Field(
        description="Number of labelled images, training images included, that base rates are of; "
        "`ill` is of these, too."
    )


class ShareOut(BaseModel):
    """Share of similar cases with a finding or outcome, beside that of all cases that match."""

    name: str = Field(description="The finding, or the outcome's diagnosis.", examples=["Effusion"])
    count: int = Field(ge=0, description="Similar cases with it.")
    known: int = Field(
        ge=1,
        description="Similar cases in which it is known to be present or absent; for an outcome, "
        "those with any verified outcome.",
    )
    low: Probability = Field(
        description="Lower end of the 95 % interval of count / known (Wilson's score)."
    )
    high: Probability = Field(description="Upper end.")
    archive_count: int = Field(ge=0, description="Cases that match the filters, and have it.")
    archive_known: int = Field(
        ge=0, description="Cases that match the filters, in which it is known."
    )


class PrevalenceOut(BaseModel):
    """Findings and outcomes of similar cases: counts of past cases, and no diagnosis."""

    cases: int = Field(
        ge=0,
        description="Similar cases that are counted: of each patient the most similar one. The "
        "case of the query image and its patient do not count.",
    )
    findings: list[ShareOut] = Field(description="By label file, the most frequent first.")
    outcomes: list[ShareOut] = Field(description="Verified, the most frequent first.")


class AnswerOut(BaseModel):
    """Similar cases with evidence."""

    query_id: str
    checkpoint: str = Field(description="sha256 of the checkpoint that was used.")
    generation: str = Field(description="Index generation that was searched.")
    predictions: list[PredictionOut] = Field(
        description="All findings, those with the highest lift first; then those without a "
        "threshold; without base rates, the most probable first."
    )
    calibrated_on: CalibratedOn | None = Field(
        description="Images that `probability` was calibrated on; null if the checkpoint does not "
        "say."
    )
    explained_finding: str = Field(
        description="The finding asked for; by default the first of the predictions: the one with "
        "the highest lift that has a threshold."
    )
    image_url: str
    overlay_url: str = Field(description="The query's Grad-CAM for the explained finding.")
    overlay: str | None = Field(None, description="With include=overlays: a data URI (JPEG).")
    maps: MapsOut | None = Field(None, description="With include=maps.")
    images: list[QuestionImageOut] = Field(
        [],
        exclude_if=lambda images: not images,
        description="Images of a question of several. The first is the query, to which "
        "predictions, similarities and evidence belong. Absent for one image.",
    )
    neighbours: list[NeighbourOut] = Field(
        description="Most similar case first; in a steered search, the one with the highest score; "
        "with text, by the ranks of image and words; with diversity, in the order of selection. "
        "Fewer than k if fewer meet every condition."
    )
    counter_examples: list[NeighbourOut] = Field(
        description="Most similar cases known not to have the explained finding, beside those "
        "among the neighbours; empty unless requested."
    )
    words: AskedWordsOut | None = Field(
        None, exclude_if=lambda words: words is None, description="With text alone."
    )
    chance_measured_on: MeasuredOn | None = Field(
        description="Images that `chance` was measured on; null if the index is not calibrated."
    )
    prevalence: PrevalenceOut | None = Field(
        None, exclude_if=lambda one: one is None, description="With prevalence."
    )
    matched: int = Field(
        ge=0,
        description="Number of indexed cases that meet the filters, without those excluded by id. "
        "Images left out because they are of the same patient count, so that the number reveals "
        "nothing about patients. Cases that show the same image each count, but appear once among "
        "the neighbours.",
    )
    recall_at_10: float = Field(
        ge=0,
        le=1,
        description="Share of the exact 10 nearest cases that a search among so many finds, as "
        "measured when the index was built; 1 if all matching cases were compared, as with exact.",
    )
    archived_as: str | None = Field(
        None,
        description="Case that shows the query image itself, in any format or resolution and "
        "regardless of the filters; null if there is none.",
        examples=["0fd0a7f2b8a1c9de"],
    )
    warnings: list[str] = Field(
        description="Doubts about the image: it seems rotated or inverted, differs from the "
        "indexed images, or its DICOM header is suspicious. Empty for a plausible radiograph."
    )
    doubts: list[Doubt] = Field(
        description="Kinds of the warnings for which there is a remedy: turned by a quarter "
        "clockwise or anticlockwise, or by a half; inverted; unlike everything indexed, as a child "
        "among adults, an animal or a photograph; by the DICOM header not frontal or not a "
        "chest; by header or pixels, with text burnt in (GET /queries/{query_id}/text)."
    )
    size_mm: SizeMm
    values: ValuesOut | None = Field(
        None,
        exclude_if=lambda values: values is None,
        description="Own values of an image of more than 8 bits, to be windowed without loss, "
        "while the service has them in memory.",
    )
    timings_ms: dict[str, float] = Field(
        description="Milliseconds per stage, in order: decode, preprocess, encode, search, "
        "explain, describe, text, and render with include. Their sum is the total, without "
        "transfer and queueing. Text is looked for beside search, explain and describe; its stage "
        "is what is still waited for. In a batch, encode is an image's share of the joint forward "
        "pass.",
        examples=[
            {
                "decode": 12.1,
                "preprocess": 1.0,
                "encode": 10.4,
                "search": 0.8,
                "explain": 0.4,
                "describe": 2.2,
                "text": 0.1,
            }
        ],
    )
    notice: str = NOTICE


class WordsMatchOut(CaseOut):
    """Case found by words alone: a `NeighbourOut` without what compares it with an image."""

    rank: int = Field(ge=1)
    more_of_patient: list[str] = Field(
        description="With one_per_patient: ids of other cases of the same patient, at most 20, "
        "whether or not they meet the filters."
    )
    ranks: RanksOut
    report: ReportOut


class WordsAnswerOut(BaseModel):
    """Answer of ``POST /query`` to words alone: an `AnswerOut` without what belongs to an image."""

    generation: str = Field(description="Index generation whose cases were searched.")
    neighbours: list[WordsMatchOut] = Field(
        description="Best rank by words first, the newest first of those of one rank. Fewer than k "
        "if fewer have one of the words and meet every condition."
    )
    words: AskedWordsOut
    prevalence: PrevalenceOut | None = Field(
        None, exclude_if=lambda one: one is None, description="With prevalence."
    )
    matched: int = Field(
        ge=0,
        description="Number of indexed cases that meet the filters, whatever their reports say, "
        "without those excluded by id.",
    )
    timings_ms: dict[str, float] = Field(
        description="Milliseconds per stage, in order: search and describe."
    )
    notice: str = NOTICE


class BatchOut(RootModel[list[AnswerOut | Problem]]):
    """Answers in the order of the images, with a problem for each image that was refused."""


class PriorOut(BaseModel):
    """Earlier image of the same patient, sent with the one that was searched with."""

    query_id: str
    similarity: Cosine = Field(description="Cosine of its embedding and the latest image's.")
    predictions: list[PredictionOut] = Field(description="As for the latest image.")
    image_url: str
    overlay_url: str = Field(description="Its Grad-CAM for the finding explained in the latest.")
    warnings: list[str] = Field(description="Doubts about the image.")


class SeriesOut(AnswerOut):
    """Answer for the latest of several images of one patient, with the earlier ones."""

    priors: list[PriorOut | Problem] = Field(
        description="In the order sent, with a problem for each image that was refused."
    )

"""Answers: what the service says, and `xemplar.Client` reads."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from xemplar.api.examples import CASE_ID

NOTICE = "Research use, not for diagnosis."

Probability = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(examples=["urn:xemplar:problem:UnknownFinding"])
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What was wrong, with which value and limit, what to do.")
    instance: str = Field(
        description="Names the request, as X-Request-ID and the service's log do.",
        examples=["urn:xemplar:request:6f1c7a3e9b524d0c8f1e2a7b5c3d9e04"],
    )


class PredictionOut(BaseModel):
    """What the network says of one finding."""

    finding: str = Field(examples=["Effusion"])
    probability: Probability = Field(description="Calibrated on validation images.")
    present: bool = Field(description="Reaches the finding's threshold; below, no map is drawn.")


class CaseOut(BaseModel):
    """A past case."""

    case_id: str = Field(examples=[CASE_ID])
    source: str = Field(description="Data set that it came from.", examples=["nih14"])
    findings: list[str] = Field(
        description="By its label file; ['No Finding'] if all known ones are absent, [] if nothing "
        "is known.",
    )
    sex: Literal["F", "M"] | None
    age: int | None = Field(description="In years.")
    view: str | None = Field(examples=["PA"])
    image_url: str


class NeighbourOut(CaseOut):
    """A similar case."""

    rank: int = Field(ge=1)
    similarity: Cosine = Field(
        description="Cosine of the embeddings: 0 for images with nothing in common but what all "
        "images have, 1 for the same image; not a probability of anything."
    )
    chance: Probability | None = Field(
        description="That it shares a finding with the query, as measured for images of that "
        "similarity; null where the index carries no calibration."
    )
    probability: Probability = Field(description="Of the explained finding in this case.")
    present: bool = Field(description="Whether that reaches the finding's threshold.")
    overlay_url: str = Field(description="Its Grad-CAM for the explained finding.")
    evidence_url: str = Field(description="This case: which places make it similar to the query.")
    query_evidence_url: str = Field(
        description="The query: which places make it similar to this case."
    )
    overlay: str | None = Field(None, description="With include=overlays: a data URI (JPEG).")


Shares = list[list[Annotated[float, Field(ge=0)]]]


class MapsOut(BaseModel):
    """Grad-CAM of the explained finding: logits per location, on one scale for all images."""

    fit: Literal["stretch", "pad"] = Field(
        description="How an image lies in the square that the map covers: stretched over it, or "
        "centred in it at its own aspect ratio."
    )
    query: Shares | None = Field(description="Rows from the top; null: below the threshold.")
    cases: dict[str, Shares | None] = Field(description="By case id, likewise.")


class MatchesOut(BaseModel):
    """Which places of two images match."""

    similarity: Cosine = Field(description="The sum of all shares.")
    grid: int = Field(ge=1, description="Places on a side; an image has grid x grid, row by row.")
    shares: list[list[float]] = Field(
        description="What each pair of places adds to the similarity, or takes from it where it is "
        "negative: a row for each place of the "
        "query, a column for each of the case. The sum of a row is the evidence in the query's "
        "place, that of a column the evidence in the case's."
    )


class AnswerOut(BaseModel):
    """Similar cases, and why."""

    query_id: str
    checkpoint: str = Field(description="sha256 of the checkpoint that answered.")
    generation: str = Field(description="Index generation that answered.")
    predictions: list[PredictionOut] = Field(description="All findings, the most probable first.")
    explained_finding: str
    image_url: str
    overlay_url: str = Field(description="The query's Grad-CAM for the explained finding.")
    overlay: str | None = Field(None, description="With include=overlays: a data URI (JPEG).")
    maps: MapsOut | None = Field(None, description="With include=maps.")
    neighbours: list[NeighbourOut] = Field(
        description="The most similar case first; with diversity, in the order of choice. Fewer "
        "than k where fewer meet every condition."
    )
    counter_examples: list[NeighbourOut] = Field(
        description="The most similar cases known not to have the explained finding; empty "
        "unless asked for. A neighbour without the finding is among them too."
    )
    matched: int = Field(
        ge=0,
        description="How many indexed cases meet the filters and are not named to be excluded. "
        "Images that are left out because they are of the same patient count: the number tells "
        "nothing of patients. Cases that show the same image count each, and take one place among "
        "the neighbours.",
    )
    archived_as: str | None = Field(
        None,
        description="Case that shows the very image that was sent, in whatever format or "
        "resolution, and whatever the filters leave out; null where none does.",
        examples=["0fd0a7f2b8a1c9de"],
    )
    warnings: list[str] = Field(
        description="What speaks against the image: it seems turned or inverted, is unlike the "
        "indexed images, or its DICOM header says so. Empty for an image as it should be."
    )
    timings_ms: dict[str, float] = Field(
        description="Milliseconds by stage, in their order: decode, preprocess, encode, search, "
        "explain, describe; with include also render. Their sum is the whole, without "
        "the transfer and the wait for a free processor. In a batch, encode is an image's share of "
        "a forward pass for several.",
        examples=[
            {
                "decode": 12.1,
                "preprocess": 1.0,
                "encode": 10.4,
                "search": 0.8,
                "explain": 0.4,
                "describe": 2.2,
            }
        ],
    )
    notice: str = NOTICE


class BatchOut(RootModel[list[AnswerOut | Problem]]):
    """Answers in the order of the images; one that cannot be used has its problem in its place."""


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: Literal["ok"] = "ok"


class TaskState(BaseModel):
    """How a task of the service fares that runs in the background."""

    seconds_since_success: float = Field(description="Since the start, where there was none yet.")
    failing: str | None = Field(description="Why its last run failed; null where it did not.")


class Readiness(Health):
    """What the service answers with, and how it fares."""

    checkpoint: str
    generation: str
    cases: int
    writes_refused: str | None = Field(
        default=None, description="Why changes are refused now; null where they are taken."
    )
    keys_lost: str | None = Field(
        default=None,
        description="Why every request is answered 401: there were API keys, and there are none. "
        "Null otherwise.",
    )
    tasks: dict[str, TaskState] = Field(default_factory=dict)

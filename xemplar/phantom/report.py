"""Synthetic reports from labels: varied wording, negations, side findings and typing errors.

They stand in for real reports, which differ more; figures measured with them say so.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

SIDES = ("left", "right", "bilateral")

PRESENT: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "Atelectasis": ("bibasilar atelectasis", "subsegmental atelectasis at the {side} base",
            "linear atelectasis in the {side} lower lobe",
            "partial collapse of the {side} lower lobe"),
        "Cardiomegaly": ("cardiomegaly", "the heart is enlarged", "enlarged cardiac silhouette",
            "the heart size is moderately increased"),
        "Consolidation": ("{side} consolidation", "airspace consolidation in the {side} lower lobe",
            "consolidation with air bronchograms"),
        "Edema": ("pulmonary edema", "interstitial edema", "mild pulmonary oedema",
            "pulmonary vascular congestion with interstitial edema"),
        "Effusion": ("{side} pleural effusion", "small {side} effusion",
            "pleural fluid on the {side}",
            "blunting of the {side} costophrenic angle consistent with effusion"),
        "Emphysema": ("emphysema", "hyperinflated lungs with emphysematous change",
            "bullous emphysema in the upper lobes"),
        "Fibrosis": ("pulmonary fibrosis", "fibrotic changes at the {side} base",
            "interstitial fibrosis"),
        "Hernia": ("hiatal hernia", "large hiatus hernia behind the heart"),
        "Infiltration": ("{side} infiltrate", "patchy infiltrates in the {side} lung",
            "infiltration in the {side} middle zone"),
        "Mass": ("a {size} cm mass in the {side} upper lobe", "{side} hilar mass",
            "lobulated mass in the {side} lung"),
        "Nodule": ("a {size} cm nodule in the {side} upper lobe", "{side} pulmonary nodule",
            "several small nodules in both lungs"),
        "Pleural_Thickening": ("{side} apical pleural thickening",
            "pleural thickening on the {side}"),
        "Pneumonia": ("{side} lower lobe pneumonia", "findings consistent with pneumonia",
            "bronchopneumonia on the {side}"),
        "Pneumothorax": ("{side} apical pneumothorax", "small {side} pneumothorax",
            "large {side} pneumothorax with mediastinal shift"),
    }
)  # fmt: skip
"""NIH's findings -> ways to say that one is present."""

ABSENT: Mapping[str, str] = MappingProxyType(
    {
        "Atelectasis": "atelectasis", "Cardiomegaly": "cardiomegaly",
        "Consolidation": "focal consolidation", "Edema": "pulmonary edema",
        "Effusion": "pleural effusion", "Emphysema": "emphysema", "Fibrosis": "fibrosis",
        "Hernia": "hiatal hernia", "Infiltration": "infiltrate", "Mass": "mass",
        "Nodule": "nodule", "Pleural_Thickening": "pleural thickening", "Pneumonia": "pneumonia",
        "Pneumothorax": "pneumothorax",
    }
)  # fmt: skip
"""NIH's findings -> their names in a denial."""

_OPENINGS = ("There is {}.", "{}.", "{} is seen.", "{} again noted.", "Interval development of {}.",
    "The study shows {}.", "Stable {}.",
    "{}, unchanged from the previous examination.")  # fmt: skip
_DENIALS = ("No {}.", "There is no evidence of {}.", "The lungs are clear without {}.",
    "No definite {} is seen.", "Negative for {}.", "No {} identified.")  # fmt: skip
_NORMAL = ("The lungs are clear.", "Heart size is within normal limits.",
    "The mediastinal contours are unremarkable.", "Osseous structures are intact.",
    "The trachea is midline.", "Degenerative changes of the thoracic spine.",
    "Tip of the central venous catheter in the superior vena cava.")  # fmt: skip
_NOTHING = ("No acute cardiopulmonary abnormality.", "Normal chest radiograph.",
    "No active disease.", "No acute findings.")  # fmt: skip


@dataclass(frozen=True)
class PhantomReport:
    """A synthetic report.

    Attributes:
        findings: text of the section.
        impression: likewise.
    """

    findings: str
    impression: str


def phantom_report(
    present: Collection[str], seed: int, *, denied: int = 4, typos: float = 0.01
) -> PhantomReport:
    """Write a report that names the present findings and denies some of the others.

    Args:
        present: of NIH's findings.
        seed: another seed words it differently.
        denied: number of absent findings that are denied.
        typos: share of the longer words with a typing error.
    """
    draw = random.Random(seed)  # noqa: S311 -- wording, no secret
    said = [_said(draw, finding) for finding in sorted(present) if finding in PRESENT]
    sentences = [_capital(draw.choice(_OPENINGS).format(one)) for one in said]
    absent = [finding for finding in ABSENT if finding not in present]
    names = [ABSENT[finding] for finding in draw.sample(absent, min(denied, len(absent)))]
    while names:
        some, names = names[: draw.randint(1, 3)], names[3:]
        sentences.append(draw.choice(_DENIALS).format(_listed(some)))
    sentences += draw.sample(_NORMAL[1:] if said else _NORMAL, 2)
    draw.shuffle(sentences)
    impression = ". ".join(_capital(one) for one in said) + "." if said else draw.choice(_NOTHING)
    return PhantomReport(
        *(_mistyped(draw, text, typos) for text in (" ".join(sentences), impression))
    )


def _said(draw: random.Random, finding: str) -> str:
    size = f"{draw.randint(5, 49) / 10:.1f}"
    return draw.choice(PRESENT[finding]).format(side=draw.choice(SIDES[:2]), size=size)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _mistyped(draw: random.Random, text: str, share: float) -> str:
    """Swap two inner letters of some words of seven letters or more."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 7 and word.isalpha() and draw.random() < share:
            at = draw.randint(1, len(word) - 3)
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)

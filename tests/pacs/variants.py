"""Every kind of answer and header that results are made of."""

from collections.abc import Callable
from dataclasses import replace

from tests.images import drawn_image
from tests.pacs.conftest import Asked, ask
from tests.pacs.films import cr_film, film
from xemplar.api.search import Search
from xemplar.retrieval.retriever import Retriever

IMAGE = drawn_image(50, 240, 200)
JAPANESE = {
    "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
    "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
}
EMPTY = dict.fromkeys(
    (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
    )
)


def _unlabelled(asked: Asked) -> Asked:
    """The same, with labels that nobody knows or that no code is for."""
    labels: tuple[dict[str, int], ...] = (
        {},
        {"No Finding": 1, "Mass": 0},
        {"Größe unklar, oder doch nicht": 1},
    )
    near = [
        replace(one, case=replace(one.case, labels=said))
        for one, said in zip(asked.answer.neighbours, labels, strict=True)
    ]
    return replace(asked, answer=replace(asked.answer, neighbours=tuple(near)))


VARIANTS: dict[str, Callable[[Retriever], Asked]] = {
    "DX": lambda r: ask(r, film(IMAGE)),
    "CR, 12 bits, MONOCHROME1": lambda r: ask(r, cr_film(IMAGE)),
    "calibrated": lambda r: ask(r, film(IMAGE)).with_chance(0.62),
    "counter-examples": lambda r: ask(r, film(IMAGE), Search(k=1, counter_examples=2)),
    "no case": lambda r: ask(r, film(IMAGE), Search(k=3, source=["nowhere"])),
    "a finding that is not called": lambda r: ask(
        r, film(IMAGE), Search(k=2, finding="Pneumothorax")
    ),
    "warnings": lambda r: ask(r, film(IMAGE, ViewPosition="LL", BurnedInAnnotation="YES")),
    "labels without a code": lambda r: _unlabelled(ask(r, film(IMAGE))),
    "an empty header": lambda r: ask(r, film(IMAGE, **EMPTY)),
    "Japanese": lambda r: ask(r, film(IMAGE, **JAPANESE)),
    "identity removed": lambda r: ask(
        r, film(IMAGE, PatientIdentityRemoved="YES", TimezoneOffsetFromUTC="+0530")
    ),
}

"""Routes that add, change and remove cases; a change is searchable once it is answered."""

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request, Response, status
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from xemplar.api import LABELS, CaseChange, CaseIn, CaseOut, NewCaseOut
from xemplar.catalog import Case, Description, case_id_of
from xemplar.data.outcomes import Diagnosis, Proof, check_times
from xemplar.errors import BurnedInText, NotARadiograph, StorageError
from xemplar.imaging import DISPLAY_SIDE, Radiograph
from xemplar.imaging.burnt_in_text import text_boxes
from xemplar.imaging.overlay import shrink
from xemplar.imaging.preprocess import preprocess
from xemplar.names import CONTROLS
from xemplar.operations.audit import changes
from xemplar.retrieval.ingest import Ingested, delete_case
from xemplar.retrieval.query import BURNT_IN_TEXT
from xemplar.retrieval.retriever import Retriever

from ..admission import writer
from ..problems import described
from ..record import Record, record_of
from ..reports import put_report, scrubbed
from ..service import BoundServices, Services, root_of
from ..upload import REQUEST_BODY, image_and_fields_of
from ..wire import case_out, description_fields, new_case_out
from .common import (
    BAD_REQUEST,
    INVALID,
    NO_JSON,
    NOT_FOUND,
    OTHER_KIND,
    TOO_LARGE,
    TOO_SLOW,
    CaseId,
    api_router,
)

router = api_router("cases", writer)


SAME_IMAGE = (
    "the archive holds this image in another file, as case {case_id}; that case's description was "
    "updated, its stored images were kept, and no case was added"
)

BETWEEN_COMMAS = rf"^[^{CONTROLS},]{{0,100}}(,[^{CONTROLS},]{{0,100}}){{0,99}}$"


OUTCOME_FIELD = {
    "type": "string",
    "pattern": rf"^({'|'.join(Diagnosis)}), ?({'|'.join(Proof)})(, ?-?[0-9]{{1,4}})?$",
    "description": "What the study turned out to be: diagnosis, proof and, if known, days from the "
    "study to the proof. Repeatable. Replaces what was told before.",
    "examples": ["Lung Cancer, biopsy, 12"],
}


def _body() -> dict[str, Any]:
    """Describe the form for OpenAPI: the image, and the fields of `CaseIn`."""
    described = CaseIn.model_json_schema()
    for name, field in described["properties"].items():
        if name in LABELS:
            described["properties"][name] = {
                "type": "string",
                "pattern": BETWEEN_COMMAS,
                "description": f"{field['description']} Names between commas; repeatable.",
                "examples": ["Effusion,Edema"],
            }
        elif name == "outcomes":
            described["properties"][name] = OUTCOME_FIELD
        elif "anyOf" in field:  # something or null: a form has an empty field, or none
            del field["default"]
            field |= _or_empty(field.pop("anyOf")[0])
    image = REQUEST_BODY["content"]["multipart/form-data"]["schema"]
    schema = image | {
        "required": [*image["required"], *described.get("required", [])],
        "properties": image["properties"] | described["properties"],
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """Allow a form's field to be empty."""
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], ""]}
    if schema["type"] == "string":
        pattern = {"pattern": f"^$|{schema['pattern']}"} if "pattern" in schema else {}
        return schema | {"minLength": 0} | pattern
    return {"anyOf": [schema, {"const": ""}]}


@router.post(
    "/cases",
    summary="Add a case",
    status_code=status.HTTP_201_CREATED,
    response_model=NewCaseOut,
    responses={
        200: {
            "model": NewCaseOut,
            "description": "The image was already indexed; its description was updated.",
        }
    }
    | BAD_REQUEST
    | TOO_LARGE
    | TOO_SLOW
    | OTHER_KIND
    | INVALID
    | described(
        HTTPStatus.CONFLICT,
        "Another image has the case id that this one would get; or the image is a case of a source "
        "that the key may not see; or the case's patient was changed too often.",
    ),
    openapi_extra={"requestBody": _body()},
)
async def put_case(
    request: Request,
    response: Response,
    services: BoundServices,
    form: Annotated[FormData, Depends(image_and_fields_of)],
) -> NewCaseOut:
    """Add an image with its description; for an image already indexed, update the given fields.

    That includes the same image in another file, as in another format or resolution: no case is
    added, the response is the existing case, and a warning says so.

    A key with a single source need not name it; a key with several must name one of them.

    Findings may be repeated fields, or comma-separated names. Stored images and description are on
    disk before the response is sent.

    The image is validated as a query's is: images clearly unlike the indexed ones are rejected, and
    `warnings` name doubts. `xemplar index` accepts images that are rejected here, except images of
    another body part (by the DICOM header) or with burned-in text; both accept those only when told
    to (`any_body_part`, `burned_in_text`).
    """
    given = _given(form)
    image = form["image"]
    assert isinstance(image, UploadFile)  # noqa: S101 -- `image_and_fields_of` checks it
    data = record_of(request).image(image.file.read())
    case, is_new, warnings = await services.images.run(
        lambda: _put(services, data, given, record_of(request))
    )
    record_of(request).subject = case.case_id
    if not is_new:
        response.status_code = status.HTTP_200_OK
    response.headers["location"] = f"{root_of(request)}/cases/{case.case_id}"
    return new_case_out(case, warnings, root_of(request))


@router.patch(
    "/cases/{case_id}",
    summary="Change a case",
    responses=NO_JSON
    | NOT_FOUND
    | INVALID
    | described(
        HTTPStatus.CONFLICT,
        "The patient of this case, or of cases by this key, was changed too often.",
    ),
)
async def change_case(
    request: Request, services: BoundServices, case_id: CaseId, change: CaseChange
) -> CaseOut:
    """Update the given fields of a case, and clear those that are null; the others stay.

    A report is scrubbed before it is stored; with `findings_text` alone, the impression stays.

    Within 24 hours a writer may set the patient of one case 5 times, and of existing cases 100
    times in all: each attempt could be used to guess a patient's identity.
    """
    retriever, catalog = services.retriever, services.catalog

    def work() -> Case:
        source = catalog.case(case_id).source
        fields = description_fields(change, retriever.store, source, _vocabulary(retriever, change))
        report = scrubbed(change, taken=services.takes_reports)
        record_of(request).details = {
            **changes(catalog.describe(case_id, fields)),
            **put_report(catalog, catalog.case(case_id), report, labelled="labels" in fields),
        }
        return catalog.case(case_id)

    return case_out(await services.light.run(work), root_of(request))


@router.delete(
    "/cases/{case_id}",
    summary="Remove a case",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NOT_FOUND | INVALID,
)
async def remove_case(services: BoundServices, case_id: CaseId) -> None:
    """Remove a case for good, with its stored images; no search finds it afterwards.

    After a failure, repeat the request until it is answered 204 or 404.
    """
    retriever = services.retriever

    def work() -> None:
        try:
            delete_case(case_id, retriever.catalog, retriever.media)
        except StorageError as error:
            error.action = f"the removal of case {case_id}"
            raise
        with suppress(StorageError):  # it is removed; `Following` updates the index within a second
            retriever.update()

    await services.light.run(work)


def _given(form: FormData) -> CaseIn:
    """Parse the form's fields other than the image.

    Raises:
        RequestValidationError: a field is invalid; names the field and its limit.
    """
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in LABELS or name == "outcomes":
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise RequestValidationError([_twice(name)])
        elif name != "image" and value != "":  # an empty field of a form means no value
            fields[name] = value
    fields = {name: value for name, value in fields.items() if value != [""]}
    try:
        return CaseIn.model_validate(fields)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(found) from error


def _twice(name: str) -> dict[str, Any]:
    return {"type": "twice", "loc": ("body", name), "msg": "may stand there only once", "input": ""}


def _put(
    services: Services, data: bytes, given: CaseIn, record: Record
) -> tuple[Case, bool, tuple[str, ...]]:
    """Add or update a case; returns the case, True if it is new, and warnings."""
    retriever, references = services.retriever, services.references
    live = retriever.live
    report = scrubbed(given, taken=services.takes_reports)
    image = retriever.decode(data)
    source = retriever.catalog.access.source_of(given.source)
    vocabulary = _vocabulary(retriever, given)
    fields = description_fields(given, retriever.store, source, vocabulary) | {"source": source}
    if references is not None and fields.get("patient"):
        day = references.shifted_day(data, fields["patient"])
        fields |= {} if day is None else {"shifted_day": day}
    archived = retriever.catalog.find_image(image.sha256)
    if archived is None:
        _refuse_by_header(image, given)
        age = image.age if given.age is None else given.age
        check_times(age, given.day, fields.get("outcomes", ()))
    spec = live.checkpoint.card.spec
    verdict = live.judge(preprocess(image, spec))
    # a repeated upload is never rejected, even if the index has changed since
    doubts = verdict.require_accepted() if archived is None else verdict.warnings
    if not image.burned_in and text_boxes(shrink(image.pixels, DISPLAY_SIDE)):
        doubts += (BURNT_IN_TEXT,)
    whole = archived is not None and retriever.media.has(image.sha256, spec)
    if archived is not None and archived.id in live.generation and whole:
        taken = Ingested(archived, is_new=False)
    else:
        taken = retriever.put(image, Description(**fields))
    case_id = taken.case.case_id
    if case_id != case_id_of(image.sha256):
        doubts += (SAME_IMAGE.format(case_id=case_id),)
    if references is not None and case_id == case_id_of(image.sha256):
        references.keep(data, image.sha256, retriever.catalog)
    if not taken.is_new:
        record.details = changes(retriever.catalog.describe(case_id, fields))
    labelled = not taken.is_new and "labels" in fields
    said = put_report(retriever.catalog, taken.case, report, labelled=labelled)
    if said:
        record.details = {**(record.details or {}), **said}
    return retriever.catalog.case(case_id), taken.is_new, image.warnings + doubts


def _refuse_by_header(image: Radiograph, given: CaseIn) -> None:
    """Reject an image by its DICOM header, unless the caller insists.

    Raises:
        NotARadiograph: it shows another part of the body.
        BurnedInText: text is burned into the image.
    """
    if image.body_part is not None and not given.any_body_part:
        raise NotARadiograph(
            f"the DICOM header says that the image shows {image.body_part}, not a chest, so it was "
            "not indexed; send any_body_part=true with it to index it all the same"
        )
    if image.burned_in and not given.burned_in_text:
        raise BurnedInText(
            "the DICOM header says that text is burnt into the picture, which may name the "
            "patient, so it was not indexed; look at the image, remove the text, or send "
            "burned_in_text=true with it to index it all the same"
        )


def _vocabulary(retriever: Retriever, given: CaseChange) -> frozenset[str]:
    """Return the findings that a case may have: of a vocabulary, a case, or the network."""
    return retriever.catalog.vocabulary(given.findings).union(retriever.checkpoint.card.findings)

"""Cases come, are described anew, and go. Each change is searchable as soon as it is answered."""

from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request, Response, status
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from xemplar.api import LABELS, CaseChange, CaseIn, CaseOut, NewCaseOut
from xemplar.catalog import Case, Description, case_id_of
from xemplar.data.names import CONTROLS
from xemplar.errors import BurnedInText, NotARadiograph, StorageError
from xemplar.imaging import Radiograph
from xemplar.imaging.preprocess import preprocess
from xemplar.operations.audit import changes
from xemplar.retrieval.ingest import Taken, delete_case
from xemplar.retrieval.retriever import Retriever

from ..admission import writer
from ..problems import described
from ..record import Record, record_of
from ..service import root_of, service_of
from ..upload import REQUEST_BODY, image_and_fields_of
from ..wire import case_out, new_case_out
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
    "the archive holds this image in another file, as case {case_id}, which was described anew and "
    "keeps its pictures; no case was added"
)

BETWEEN_COMMAS = rf"^[^{CONTROLS},]{{0,100}}(,[^{CONTROLS},]{{0,100}}){{0,99}}$"


def _body() -> dict[str, Any]:
    """How OpenAPI describes the form: the image, and the fields of `CaseIn`."""
    described = CaseIn.model_json_schema()
    for name, field in described["properties"].items():
        if name in LABELS:
            described["properties"][name] = {
                "type": "string",
                "pattern": BETWEEN_COMMAS,
                "description": f"{field['description']} Names between commas; repeatable.",
                "examples": ["Effusion,Edema"],
            }
        elif "anyOf" in field:  # something or null, which a form says by an empty field, or by none
            del field["default"]
            field |= _or_empty(field.pop("anyOf")[0])
    image = REQUEST_BODY["content"]["multipart/form-data"]["schema"]
    schema = image | {
        "required": [*image["required"], *described.get("required", [])],
        "properties": image["properties"] | described["properties"],
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _or_empty(schema: dict[str, Any]) -> dict[str, Any]:
    """A form's field that may also be empty."""
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], ""]}
    if schema["type"] == "string":
        return schema | {"minLength": 0, "pattern": f"^$|{schema['pattern']}"}
    return {"anyOf": [schema, {"const": ""}]}


@router.post(
    "/cases",
    summary="Put a case in",
    status_code=status.HTTP_201_CREATED,
    response_model=NewCaseOut,
    responses={200: {"model": NewCaseOut, "description": "The image was there; described anew."}}
    | BAD_REQUEST
    | TOO_LARGE
    | TOO_SLOW
    | OTHER_KIND
    | INVALID
    | described(
        HTTPStatus.CONFLICT,
        "Another image has the case id that this one would get; or the image is a case of a source "
        "that is not the key's; or the case was given too many patients.",
    ),
    openapi_extra={"requestBody": _body()},
)
async def put_case(
    request: Request, response: Response, form: Annotated[FormData, Depends(image_and_fields_of)]
) -> NewCaseOut:
    """An image and what is known of it. The same image again changes only what is named with it.

    So does the same image in another file, as in another format or resolution: no case is added,
    the answer is the case that was there, and a warning says so.

    A key that has only one source need not name it; one that has several names one of them.

    Findings may be repeated fields, or names between commas. When this is answered, pictures and
    description are on the disk.

    The image is looked at as a query's is: what surely is no image of the kind that is indexed is
    refused, and `warnings` tell what is doubtful. `xemplar index` takes in what is refused here,
    but for an image that shows another part of the body by its DICOM header, or has text burnt into
    the picture: that neither takes in unless told to (`any_body_part`, `burned_in_text`).
    """
    service, given = service_of(request), _given(form)
    image = form["image"]
    assert isinstance(image, UploadFile)  # noqa: S101 -- `image_and_fields_of` has looked
    data = record_of(request).image(image.file.read())
    case, is_new, warnings = await service.work_on_images(
        lambda: _put(service.retriever, data, given, record_of(request))
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
    | described(HTTPStatus.CONFLICT, "The case, or cases by this key, were given many patients."),
)
async def change_case(request: Request, case_id: CaseId, change: CaseChange) -> CaseOut:
    """What is named is changed, what is null is forgotten, and all else stays as it is.

    A writer may give a case 5 patients within 24 hours, and cases that are there 100 in all: with
    each it could try who a patient is.
    """
    retriever = service_of(request).retriever

    def work() -> Case:
        source = retriever.catalog.case(case_id).source
        fields = change.fields(retriever.store, source, _vocabulary(retriever, change))
        described = retriever.catalog.describe(case_id, fields)
        record_of(request).details = changes(described)
        return retriever.catalog.case(case_id)

    return case_out(await service_of(request).work(work), root_of(request))


@router.delete(
    "/cases/{case_id}",
    summary="Remove a case",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=NOT_FOUND | INVALID,
)
async def remove_case(request: Request, case_id: CaseId) -> None:
    """Gone for good, with its pictures; no search finds it any more.

    After a failure, send it again until it is answered 204 or 404: then it is gone.
    """
    retriever = service_of(request).retriever

    def work() -> None:
        try:
            delete_case(case_id, retriever.catalog, retriever.media)
        except StorageError as error:
            error.action = f"the removal of case {case_id}"
            raise
        with suppress(StorageError):  # it is gone; what answers is told of it within a second
            retriever.update()

    await service_of(request).work(work)


def _given(form: FormData) -> CaseIn:
    """The form's fields but the image.

    Raises:
        RequestValidationError: naming the field and its limit.
    """
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in LABELS:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            raise RequestValidationError([_twice(name)])
        elif name != "image" and value != "":  # an empty field of a form says nothing
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
    retriever: Retriever, data: bytes, given: CaseIn, record: Record
) -> tuple[Case, bool, tuple[str, ...]]:
    """Put an image in, or describe it anew; returns the case, whether it is new, and warnings."""
    live = retriever.live
    image = retriever.decode(data)
    source = retriever.catalog.access.source_of(given.source)
    fields = given.fields(retriever.store, source, _vocabulary(retriever, given))
    known = retriever.catalog.find_image(image.sha256)
    if known is None:
        _refuse_by_header(image, given)
    spec = live.checkpoint.card.spec
    verdict = live.judge(preprocess(image, spec))
    # a repeated upload is never refused, though other images may be indexed by now
    doubts = verdict.require_accepted() if known is None else verdict.warnings
    whole = known is not None and retriever.media.has(image.sha256, spec)
    if known is not None and known.id in live.generation and whole:
        taken = Taken(known, is_new=False)
    else:
        taken = retriever.put(image, Description(**fields))
    case_id = taken.case.case_id
    if case_id != case_id_of(image.sha256):
        doubts += (SAME_IMAGE.format(case_id=case_id),)
    if not taken.is_new:
        record.details = changes(retriever.catalog.describe(case_id, fields))
    return retriever.catalog.case(case_id), taken.is_new, image.warnings + doubts


def _refuse_by_header(image: Radiograph, given: CaseIn) -> None:
    """Refuse an image for what its DICOM header says, unless the caller insists.

    Raises:
        NotARadiograph: it shows another part of the body.
        BurnedInText: text is burnt into the picture.
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
    """Findings that a case may have: of a vocabulary, a case, or the network that answers."""
    return retriever.catalog.vocabulary(given.findings).union(retriever.checkpoint.card.findings)

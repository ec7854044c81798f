"""Reads patient and acquisition attributes of a DICOM header, limited to defined terms.

Any other text could identify the patient, so it is neither kept nor quoted.
"""

import re
import unicodedata
from typing import TYPE_CHECKING

from xemplar.imaging.dicom.elements import items, numbers, text, texts
from xemplar.views import FRONTAL, VIEWS, find_view

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.sr.codedict import Collection

CHEST = frozenset([
    "CHEST", "THORAX", "TORAX", "TORSO", "LUNG", "LUNGS", "LUNGE", "POUMON", "POUMONS", "PULMON",
    "POLMONE", "PULMAO", "RIB", "RIBS", "RIBCAGE",
    "HEART", "MEDIASTINUM", "BRONCHUS", "TRACHEA", "BODY", "WHOLEBODY", "CTSPINE",
])  # fmt: skip
"""Words for the chest or a larger region that includes it."""

OTHER_PARTS = frozenset([
    "ABDOMEN", "ANKLE", "ANUS", "ARM", "BILE", "BILIARY", "BLADDER", "BREAST", "CALCANEUS",
    "CARPUS", "CLAVICLE", "COCCYX", "COLON", "CRANIUM", "CSPINE", "DUODENUM", "EAR", "ELBOW",
    "EXTREMITY", "EYE", "FACE", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "GALLBLADDER",
    "HAND", "HEAD", "HEEL", "HIP", "HUMERUS", "ILEUM", "ILIUM", "INTESTINE", "JAW", "JEJUNUM",
    "KIDNEY", "KNEE", "LARYNX", "LEG", "LIMB", "LIVER", "LSPINE", "MANDIBLE", "MASTOID", "MAXILLA",
    "NECK", "NOSE", "ORBIT", "PANCREAS", "PATELLA", "PELVIS", "PROSTATE", "RADIUS", "RECTUM",
    "SACRUM", "SCAPULA", "SHOULDER", "SINUS", "SKULL", "SPINE", "SSPINE", "STERNUM", "STOMACH",
    "TARSUS", "TEETH", "THIGH", "THUMB", "TIBIA", "TLSPINE", "TOE", "TOOTH", "TSPINE", "ULNA",
    "URETER", "URETHRA", "UTERUS", "WRIST", "ZYGOMA",
])  # fmt: skip
"""Other body parts, from BodyPartExamined's defined terms (PS3.16 annex L) and code meanings."""

BODY_PART_SYNONYMS = {
    "EXTREMITY": "EXM EXTREMITIES EXTREMITAET", "ABDOMEN": "BAUCH ABDOMINAL KUB",
    "ARM": "OBERARM BRAZO", "ANKLE": "SPRUNGGELENK CHEVILLE TOBILLO CAVIGLIA TORNOZELO",
    "CRANIUM": "CRANE CRANEO CRANIO", "CSPINE": "HWS", "LSPINE": "LWS", "TSPINE": "BWS",
    "EAR": "IAC TEMPORAL", "ELBOW": "ELLBOGEN ELLENBOGEN COUDE CODO GOMITO COTOVELO",
    "FACE": "FACIAL", "FINGER": "DOIGT DEDO DITO", "FOOT": "FEET FUSS PIED PIEDE",
    "FOREARM": "UNTERARM AVANTBRAS", "HAND": "MANO", "HEAD": "KOPF TETE CABEZA TESTA",
    "HIP": "HUEFTE HUFTE HANCHE CADERA ANCA QUADRIL", "JAW": "PANORAMIC KIEFER TMJ TMJOINT",
    "KNEE": "KNIE GENOU RODILLA GINOCCHIO JOELHO", "LEG": "BEIN JAMBE PIERNA GAMBA PERNA",
    "PANCREAS": "PANCREATIC", "BREAST": "MAMMA", "SHOULDER": "SCHULTER EPAULE HOMBRO SPALLA OMBRO",
    "PELVIS": "BECKEN BASSIN SACROILIAC", "SKULL": "SCHAEDEL SCHADEL SELLA",
    "SPINE": "WIRBELSAEULE WIRBELSAULE RACHIS COLUMNA COLONNA COLUNA VERTEBRAL",
    "THIGH": "OBERSCHENKEL CUISSE MUSLO", "LIMB": "UNTERSCHENKEL", "NECK": "HALS COU CUELLO COLLO",
    "WRIST": "HANDGELENK POIGNET MUNECA POLSO PUNHO", "TOE": "ZEHE ORTEIL", "NOSE": "NASAL",
    "LARYNX": "PAROTID SUBMANDIBULAR", "ORBIT": "OPTIC ORBITAL", "TARSUS": "TARSAL",
    "URETER": "URINARY",
}  # fmt: skip
"""Synonyms in codes, on devices and in several languages -> body part."""

_PARTS = {word: part for part, words in BODY_PART_SYNONYMS.items() for word in words.split()} | {
    part: part for part in OTHER_PARTS
}

_KNOWN = sorted({*CHEST, *_PARTS}, key=len, reverse=True)

_COMPOUND = re.compile(f"(?:UPPER|LOWER|UP|LOW|LEFT|RIGHT|(?:{'|'.join(_KNOWN)})S?)+")
"""Compound words such as HEADNECK or LOWERLEG."""

_PART = re.compile(f"(?:{'|'.join(_KNOWN)})S?")

CODED_VIEWS = {
    "PosteroAnterior": "PA", "AnteroPosterior": "AP", "LeftLateral": "LL", "RightLateral": "RL",
    "AxialProjection": "AXIAL", "CaudoCranial": "AXIAL", "CranioCaudal": "AXIAL",
    "Dorsoplantar": "AXIAL", "Plantodorsal": "AXIAL", "Submentovertical": "AXIAL",
    "Verticosubmental": "AXIAL", "Tangential": "TANGENTIAL",
}  # fmt: skip
"""View codes of PS3.16 CID 4010 -> view position."""

FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
"""SOP class UID of Digital X-Ray Image Storage - For Processing."""

TURNED = {
    ("R", "F"): "mirrored", ("L", "H"): "mirrored", ("F", "L"): "mirrored", ("H", "R"): "mirrored",
    ("R", "H"): "upside down", ("H", "L"): "on its side", ("F", "R"): "on its side",
}  # fmt: skip
"""Patient orientations (row, column) of a rotated or mirrored frontal image."""

SIDEWAYS = re.compile("lateral|lateromedial|sagittal|seitlich|profil", re.IGNORECASE)


def sop_class(header: "Dataset") -> str:
    """Read the SOP class UID; "" if absent."""
    meta = getattr(header, "file_meta", None)
    return text(header, "SOPClassUID") or (text(meta, "MediaStorageSOPClassUID") if meta else "")


def sex(header: "Dataset") -> str | None:
    """Read PatientSex; None unless "F" or "M"."""
    written = text(header, "PatientSex")
    return written if written in ("F", "M") else None


def age(header: "Dataset") -> int | None:
    """Read PatientAge (PS3.5 6.2, AS) in whole years, 0 to 120; None if absent or invalid."""
    written = re.fullmatch(r"(\d{1,3})([DWMY])", text(header, "PatientAge"))
    if not written:
        return None
    count, unit = int(written[1]), written[2]
    years = {"D": count * 4 // 1461, "W": count * 28 // 1461, "M": count // 12, "Y": count}[unit]
    return years if years <= 120 else None


def spacing(header: "Dataset") -> tuple[float, float] | None:
    """Read the pixel spacing (row, column) in mm; None if absent or zero (seen in practice)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        found = numbers(header, keyword)
        if len(found) == 2 and min(found) > 0:
            return found[0], found[1]
    return None


def view_position(header: "Dataset") -> str | None:
    """Read the view, one of `VIEWS`, from ViewPosition, else the code, else patient orientation."""
    written = find_view(" ".join(texts(header, "ViewPosition")))
    return written or _coded_view(header) or ("LATERAL" if _is_sideways(header) else None)


def burned_in(header: "Dataset") -> bool:
    """Check if BurnedInAnnotation is YES."""
    return text(header, "BurnedInAnnotation") == "YES"


def body_part(header: "Dataset") -> str | None:
    """Read the body part, one of `OTHER_PARTS`, from text or codes; None for a chest or unknown."""
    stated = [text(header, "BodyPartExamined")]
    for keyword in ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence"):
        stated += _code_meanings(header, keyword, "CID4031")
    return next((part for each in stated if (part := _other_part(each))), None)


def warnings(header: "Dataset") -> tuple[str, ...]:
    """List warnings about the image, one sentence each."""
    found = []
    if part := body_part(header):
        found.append(f"the DICOM header says that the image shows {part}, not a chest")
    views = [
        view_position(header),
        _coded_view(header),
        "LATERAL" if _is_sideways(header) else None,
    ]
    other = next((each for each in views if each and each not in FRONTAL), None)
    if other:
        found.append(
            f"the DICOM header says that the view is {other}; the network knows frontal images"
        )
    if (orientation := _orientation(header)) in TURNED:
        found.append(
            f"the DICOM header says that the image is {TURNED[orientation]} (patient orientation "
            f"{orientation[0]}\\{orientation[1]}; an upright frontal image has L\\F)"
        )
    if text(header, "AnatomicalOrientationType") == "QUADRUPED":
        found.append("the DICOM header says that the patient is an animal")
    if text(header, "PresentationIntentType") == "FOR PROCESSING" or (
        sop_class(header) == FOR_PROCESSING
    ):
        found.append(
            "the DICOM header says that the image is for processing, not for presentation: its "
            "grey is not what a reader sees"
        )
    if texts(header, "ViewPosition") and not views[0]:
        found.append(
            "the DICOM header's ViewPosition is none of the known views, so the view counts as "
            f"unknown (known are {', '.join(sorted(VIEWS))})"
        )
    if burned_in(header):
        found.append(
            "the DICOM header says that text is burnt into the picture; it may name the patient"
        )
    return tuple(found)


def _other_part(stated: str) -> str | None:
    plain = unicodedata.normalize("NFKD", stated.replace("ß", "ss").upper())
    words = re.findall("[A-Z]+", re.sub("[\u0300-\u036f]", "", plain))
    known = [
        each.removesuffix("S") if each not in {*CHEST, *_PARTS} else each
        for word in words
        if _COMPOUND.fullmatch(word)
        for each in _PART.findall(word)
    ]
    if CHEST.intersection(known):
        return None
    return next((_PARTS[each] for each in known), None)


def _coded_view(header: "Dataset") -> str | None:
    for name in _code_meanings(header, "ViewCodeSequence", "CID4010"):
        if name in CODED_VIEWS:
            return CODED_VIEWS[name]
        if "oblique" in name.lower():
            return "OBLIQUE"
        if SIDEWAYS.search(name):
            return "LATERAL"
    return None


def _orientation(header: "Dataset") -> tuple[str, str]:
    """Read the directions of rows and columns: the first letters of PatientOrientation.

    PS3.3 C.7.6.1.1.1: Anterior, Posterior, Right, Left, Head, Foot; animals use other letters.
    """
    letters = "".join(each.upper()[0] for each in texts(header, "PatientOrientation"))
    if not re.fullmatch("[APRLHF]{2}", letters) or (
        text(header, "AnatomicalOrientationType") == "QUADRUPED"
    ):
        return "", ""
    return letters[0], letters[1]


def _is_sideways(header: "Dataset") -> bool:
    """Check if the patient orientation has an anterior-posterior axis."""
    return not {"A", "P"}.isdisjoint(_orientation(header))


def _code_meanings(header: "Dataset", keyword: str, group: str) -> list[str]:
    """Translate the codes of a sequence to a context group's keywords (PS3.16), else code meanings.

    Supports SNOMED CT codes and the older SRT codes.
    """
    coded = items(header, keyword)
    if not coded:
        return []
    from pydicom.sr.codedict import codes  # deferred: takes a second, and few headers have codes
    from pydicom.sr.coding import Code

    known: Collection = getattr(codes, group)
    names = []
    for item in coded:
        value = text(item, "CodeValue") or text(item, "LongCodeValue")
        code = Code(value, text(item, "CodingSchemeDesignator"), "-")
        name = next((name for name, each in known.concepts.items() if each == code), None)
        words = re.findall("[A-Z][a-z]*", name) if name and group == "CID4031" else []
        names.append(" ".join(words) or name or text(item, "CodeMeaning"))
    return names

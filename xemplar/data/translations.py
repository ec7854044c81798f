"""Names of findings in other languages, so that a table need not be translated to be read.

Only words that mean the same as the English one: "Verschattung" is no entry, as it may be an
infiltrate, a consolidation or neither.
"""

from collections.abc import Mapping
from types import MappingProxyType

TRANSLATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Atelectasis": ("Atelektase", "Atelektasen", "Atélectasie", "Atelectasia", "Atelettasia"),
        "Cardiomegaly": ("Kardiomegalie", "Cardiomégalie", "Cardiomegalia"),
        "Consolidation": ("Konsolidierung", "Konsolidation", "Consolidación", "Consolidamento",
            "Consolidação"),
        "Edema": ("Lungenödem", "Ödem", "Œdème", "Oedème", "Œdème pulmonaire", "Oedème pulmonaire",
            "Edema pulmonar", "Edema polmonare"),
        "Effusion": ("Pleuraerguss", "Pleuraergüsse", "Épanchement pleural", "Derrame pleural",
            "Versamento pleurico"),
        "Emphysema": ("Emphysem", "Lungenemphysem", "Emphysème", "Enfisema"),
        "Fibrosis": ("Fibrose", "Lungenfibrose", "Fibrose pulmonaire", "Fibrosis pulmonar",
            "Fibrosi polmonare", "Fibrose pulmonar"),
        "Hernia": ("Hernie", "Zwerchfellhernie", "Hernie hiatale", "Hernia hiatal"),
        "Infiltration": ("Infiltrat", "Infiltrate", "Infiltrado", "Infiltrato"),
        "Mass": ("Raumforderung", "Masse", "Masa", "Massa"),
        "Nodule": ("Rundherd", "Rundherde", "Nodulo", "Nódulo"),
        "No Finding": ("Kein Befund", "Ohne Befund", "o. B.", "o.B.", "unauffällig", "Normalbefund",
            "Aucune anomalie", "Sin hallazgos", "Nessun reperto", "Sem achados"),
        "Pleural_Thickening": ("Pleuraverdickung", "Épaississement pleural",
            "Engrosamiento pleural", "Ispessimento pleurico", "Espessamento pleural"),
        "Pneumonia": ("Pneumonie", "Neumonía", "Polmonite"),
        "Pneumothorax": ("Neumotórax", "Pneumotorace", "Pneumotórax"),
    }
)  # fmt: skip
"""Canonical name of a finding -> its names in German, French, Spanish, Italian and Portuguese."""

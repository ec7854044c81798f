"""BibTeX entries of what a study used."""

from collections.abc import Mapping
from types import MappingProxyType

from xemplar import __version__

from .inspection import Inspection

BIBTEX: Mapping[str, str] = MappingProxyType(
    {
        "xemplar": f"""@software{{xemplar,
  author = {{{{The xemplar maintainers}}}},
  title = {{xemplar}},
  version = {{{__version__}}},
  note = {{Apache-2.0}}
}}""",
        "huang2017": """@inproceedings{huang2017,
  author = {Huang, Gao and Liu, Zhuang and van der Maaten, Laurens and Weinberger, Kilian Q.},
  title = {Densely Connected Convolutional Networks},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017}
}""",
        "selvaraju2017": """@inproceedings{selvaraju2017,
  author = {Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and Vedantam,
    Ramakrishna and Parikh, Devi and Batra, Dhruv},
  title = {{Grad-CAM}: Visual Explanations from Deep Networks via Gradient-Based Localization},
  booktitle = {IEEE International Conference on Computer Vision},
  year = {2017}
}""",
        "wang2017": """@inproceedings{wang2017,
  author = {Wang, Xiaosong and Peng, Yifan and Lu, Le and Lu, Zhiyong and Bagheri, Mohammadhadi
    and Summers, Ronald M.},
  title = {{ChestX-ray8}: Hospital-Scale Chest {X}-Ray Database and Benchmarks on
    Weakly-Supervised Classification and Localization of Common Thorax Diseases},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017}
}""",
        "irvin2019": """@inproceedings{irvin2019,
  author = {Irvin, Jeremy and Rajpurkar, Pranav and Ko, Michael and others},
  title = {{CheXpert}: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert
    Comparison},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year = {2019}
}""",
    }
)
"""Key -> entry."""

ALWAYS = ("xemplar", "huang2017", "selvaraju2017")


def references_of(seen: Inspection) -> tuple[str, ...]:
    """Select the keys that a study cites; public data sets are known by their label files."""
    tables = {
        table.file.name
        for folder in seen.folders
        if folder.dataset
        for table in folder.dataset.tables
    }
    nih = any(name.startswith("Data_Entry_2017") for name in tables)
    chexpert = bool(tables & {"train.csv", "valid.csv"})
    return (*ALWAYS, *(("wang2017",) if nih else ()), *(("irvin2019",) if chexpert else ()))

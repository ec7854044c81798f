"""Maps folders to package names; all other configuration is in pyproject.toml.

`app/` is installed as `xemplar_app`, and so on: a site-packages folder shared with other projects
must not hold a package called `app`. Programs import their own modules relatively.
"""

from setuptools import find_namespace_packages, setup

FOLDERS = {
    "xemplar": "xemplar",
    "xemplar_app": "app",
    "xemplar_indexer": "indexer",
    "xemplar_pacs": "pacs",
    "xemplar_trainer": "trainer",
    "xemplar_evaluator": "evaluator",
    "xemplar_study": "study",
}

setup(
    package_dir=FOLDERS,
    packages=[
        package + inside.removeprefix(folder)
        for package, folder in FOLDERS.items()
        # folders of data, as the page, are packages without code
        for inside in find_namespace_packages(
            include=[folder, f"{folder}.*"], exclude=["*.__pycache__"]
        )
    ],
)

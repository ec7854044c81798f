"""What a study found survives being kept."""

import json

from xemplar_evaluator.section import Estimate, Picture, Section, Table


def test_a_section_comes_back_from_json_as_it_was() -> None:
    section = Section(
        name="ranking",
        title="Ranking",
        text=("One.", "Two."),
        tables=(
            Table("a", "A", ["x", "y"], [["one", Estimate(0.5, 0.4, 0.6, 9)], ["two", None]], "c"),
        ),
        pictures=(Picture("p", "P", b"\x89PNG", "caption"),),
        settings={"seed": 0},
        failures=("no",),
        documents={"d": {"v": [1, 2]}},
    )
    kept = json.loads(json.dumps(section.to_dict()))
    again = Section.from_dict(kept, {"p": b"\x89PNG"})
    assert json.loads(json.dumps(again.to_dict())) == kept
    assert again.pictures[0].data == b"\x89PNG"
    assert again.tables[0].rows[0][1] == Estimate(0.5, 0.4, 0.6, 9)

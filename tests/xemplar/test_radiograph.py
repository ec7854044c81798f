"""Scripts that were written before the library's layout go on working."""

from xemplar import imaging, radiograph


def test_the_former_address_decodes_as_the_present_one() -> None:
    assert radiograph.decode is imaging.decode
    assert radiograph.Radiograph is imaging.Radiograph

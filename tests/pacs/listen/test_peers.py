"""Who may connect: titles from addresses."""

import pytest
from xemplar_pacs.listen.peers import Peers


def test_without_a_list_only_this_machine_may() -> None:
    peers = Peers.parse("")
    assert peers.knows("ANY", "127.0.0.1")
    assert peers.knows("ANY", "::1")
    assert not peers.knows("ANY", "10.1.2.3")
    assert not peers.knows_address("10.1.2.3")


def test_a_title_belongs_to_its_address() -> None:
    peers = Peers.parse("ORTHANC@10.1.2.3, CR_*@10.1.4.0/24")
    assert peers.knows("ORTHANC", "10.1.2.3")
    assert peers.knows("ORTHANC  ", "10.1.2.3")
    assert peers.knows("CR_7", "10.1.4.200")
    assert not peers.knows("ORTHANC", "10.1.4.200")
    assert not peers.knows("CR_7", "10.1.2.3")
    assert not peers.knows("orthanc", "10.1.2.3")
    assert not peers.knows("DX_7", "10.1.4.200")


def test_this_machine_is_not_let_in_beside_a_list() -> None:
    assert not Peers.parse("ORTHANC@10.1.2.3").knows_address("127.0.0.1")


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_an_address_is_the_same_in_both_versions(address: str) -> None:
    assert Peers.parse("A@10.1.2.3").knows("A", address)


def test_a_scope_is_no_part_of_an_address() -> None:
    assert Peers.parse("A@fe80::/10").knows("A", "fe80::1%eth0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ORTHANC", "write TITLE@ADDRESS"),
        ("@10.1.2.3", "write TITLE@ADDRESS"),
        ("SEVENTEEN_LETTERS@10.1.2.3", "write TITLE@ADDRESS"),
        ("A@pacs.example", "write it in numbers"),
        ("A@10.1.2.3/24", "has host bits set"),
    ],
)
def test_anything_else_is_refused(given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Peers.parse(given)

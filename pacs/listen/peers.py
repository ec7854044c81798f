"""Peers that may open an association: AE titles and the addresses that they come from."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

TITLE = re.compile(r"[A-Za-z0-9_.* -]{1,16}")
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True)
class Peer:
    """A title, or a pattern of titles, from an address.

    Attributes:
        title: AE title; ``*`` stands for any characters.
        network: of the address.
    """

    title: str
    network: IPv4Network | IPv6Network


@dataclass(frozen=True)
class Peers:
    """All peers that may connect."""

    allowed: tuple[Peer, ...]

    @classmethod
    def parse(cls, given: str) -> Self:
        """Parse ``TITLE@ADDRESS,TITLE@NETWORK``; an empty text allows any title on this machine.

        Raises:
            ValueError: an entry has another form.
        """
        listed = [one.strip() for one in given.split(",") if one.strip()]
        if not listed:
            return cls(tuple(Peer("*", network) for network in LOOPBACK))
        return cls(tuple(map(_peer, listed)))

    def knows_address(self, address: str) -> bool:
        """Return True if any peer may connect from this address."""
        return any(_contains(one, address) for one in self.allowed)

    def knows(self, title: str, address: str) -> bool:
        """Return True if a peer of this title may connect from this address."""
        calling = title.strip()
        return any(
            fnmatchcase(calling, one.title) and _contains(one, address) for one in self.allowed
        )


def _peer(entry: str) -> Peer:
    title, at, network = entry.rpartition("@")
    if not at or not TITLE.fullmatch(title.strip()):
        raise ValueError(f"{entry!r} is no peer; write TITLE@ADDRESS, as ORTHANC@10.1.2.3")
    try:
        return Peer(title.strip(), ip_network(network.strip()))
    except ValueError as error:
        raise ValueError(
            f"{entry!r} names no address or network; write it in numbers, as ORTHANC@10.1.2.3 or "
            f"CR_*@10.1.4.0/24 ({error})"
        ) from error


def _contains(peer: Peer, address: str) -> bool:
    """Compare addresses; an IPv4 address that a socket of both versions reports is the same."""
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found) in peer.network

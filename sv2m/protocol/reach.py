# SPDX-License-Identifier: Apache-2.0
"""To which addresses A's compute host connects, when B names its data endpoint.

The name is the peer's word, and the agent is root on a host of this cloud: without a bound a peer could have it knock
at the host's own services, or at the metadata address of a cloud below. So addresses are judged, after the name is
resolved, and the very address that was judged is connected to: a name that is another address at the next look gains
nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sv2m import errors

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: IPv6 addresses in whose last 32 bits a translator on the way finds an IPv4 address. RFC 6052, section 2.1.
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Reach:
    """What the agreement with a peer says of its data endpoints.

    :param networks: in which they must lie; none: anywhere but at addresses that are no other host's.
    """

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> Reach:
        """From CIDR notation. :raises ValueError: not a network, or one with bits set behind its prefix."""
        return cls(tuple(ipaddress.ip_network(network) for network in networks))

    def allows(self, text: str) -> bool:
        """Whether a connection may go to this address, which is no name."""
        address = _inner(ipaddress.ip_address(text))
        if self.networks:
            return any(address in network for network in self.networks)
        return not (
            address.is_loopback
            or address.is_link_local
            or address.is_unspecified
            or address.is_multicast
            or address.is_reserved
        )

    def check(self, host: str) -> None:
        """Look at an endpoint before anything is resolved: one that is an address can be judged at once.

        :raises PeerError: it is not allowed.
        """
        try:
            allowed = self.allows(host)
        except ValueError:
            return  # a name: whoever resolves it judges
        if not allowed:
            raise self.refusal(host)

    def refusal(self, host: str) -> errors.PeerError:
        """Why nothing is connected to ``host``."""
        return errors.PeerError(
            f"the peer's data endpoint {host} is at no address that the agreement allows",
            code="data-endpoint-not-allowed",
            remedy="Ask the peer's operators for the addresses of their hosts ([agent] data_endpoint_host); allow "
            "their networks in the agreement (peer set --data-network).",
        )


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does: it is there that a packet ends."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address

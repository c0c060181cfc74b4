# SPDX-License-Identifier: Apache-2.0
"""One tree of errors, by whose fault it is.

Every error says three things: what happened (the message), a ``code`` that never changes once released (so that
scripts and tickets can name it), and a ``remedy``: what the person who reads it does next.

=============== ========================================================== ==============
branch          whose fault                                                HTTP status
=============== ========================================================== ==============
LocalError      this cloud's operator, caller or configuration             400 (or 404/409)
PeerError       the other cloud: what it sent, or did not send             502
HostError       this cloud's own services or hosts (Nova, Barbican, QEMU)  503
PolicyError     nobody's: a rule says no, and the message names the rule   403
=============== ========================================================== ==============

oslo.messaging carries these over RPC by class name, ``args`` and ``kwargs``; that is why every subclass keeps the
signature of :class:`SV2MError`.
"""

from __future__ import annotations

#: Characters of a message; ours are far shorter.
_LONGEST = 4000
#: Characters of what somebody gave, where a message quotes it.
_SHOWN = 40


def _line(text: str) -> str:
    """One line for a log and a terminal.

    Parts of a message may be the words of a peer, or of QEMU about a peer's guest: they must neither begin a line that
    looks like ours nor tell a terminal what to do.
    """
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return shown if shown.isprintable() else "".join(one if one.isprintable() else " " for one in shown)


def shown(given: object) -> str:
    """What a person gave, for a message that names it; or that it is not shown, when it may be a secret.

    A key of 256 bits has 43 characters in base64: none fits into what is shown.
    """
    text = str(given)
    return text if len(text) <= _SHOWN and text.isprintable() else "(a value that is not shown)"


class SV2MError(Exception):
    """Root of the tree.

    :param message: what happened, in one sentence, without any secret. Whatever is not printable becomes a blank.
    :param code: stable kebab-case identifier; the class has a default.
    :param remedy: what to do next; the class has a default.
    """

    #: Whose fault: local, peer, host, policy, or internal for a bug of SV2M.
    fault = "internal"
    code = "internal-error"
    remedy = "Look into the log of the service that raised it, and report it with the request id."
    http_status = 500

    def __init__(self, message: str = "", *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(_line(message))
        if code is not None:
            self.code = code
        if remedy is not None:
            self.remedy = remedy
        # Read by oslo.messaging when the error crosses RPC.
        self.kwargs = {"code": self.code, "remedy": self.remedy}

    @property
    def message(self) -> str:
        """What happened."""
        return str(self.args[0]) if self.args else self.code

    def __str__(self) -> str:
        return self.message


class LocalError(SV2MError):
    """The caller, operator or configuration of this cloud asked for something that cannot be."""

    fault = "local"
    code = "bad-request"
    remedy = "Correct the request and try again."
    http_status = 400


class NotFound(LocalError):
    """The thing named in the request does not exist, or the caller may not see it."""

    code = "not-found"
    remedy = "Check the name or id, and that you are in the right project."
    http_status = 404


class PrivateKeyGiven(LocalError):
    """A private key, where none is asked for: none is, of anybody."""

    code = "private-key-given"
    remedy = "Keep the key where it is, and give certificates alone. Nothing of it was kept."


class Conflict(LocalError):
    """The thing exists, but is in a state in which the request makes no sense."""

    code = "conflict"
    remedy = "Look at its present state and decide again."
    http_status = 409


class ConfigurationError(LocalError):
    """This cloud's SV2M is not configured well enough to do what was asked."""

    code = "not-configured"
    remedy = "Complete the configuration named in the message, restart the service and try again."
    http_status = 503


class SigningKeyGone(ConfigurationError):
    """The private key with which a migration must be signed to its end was destroyed."""

    code = "signing-key-gone"
    remedy = (
        "This cloud can sign nothing more in this migration. Save the evidence of both sides, and settle with the "
        "peer's operators where the server runs."
    )


class IllegalTransition(LocalError):
    """Our own side asked the protocol machine for a step that its phase does not allow."""

    code = "illegal-transition"
    remedy = "Look at the phase of the migration; this step has been done already or can no longer be done."
    http_status = 409


class PhaseConflict(LocalError):
    """A compare-and-swap on (phase, generation) found that somebody else moved the migration on."""

    code = "phase-conflict"
    remedy = "Nothing to do: whoever moved it carries on. Look at the migration again."
    http_status = 409


class ServerChanged(Conflict):
    """The server, or a disk of it, is not what it was when its migration began."""

    code = "server-changed"
    remedy = "The server goes on here, as it is. Leave it and its volumes alone, and start a new migration."


class ServerNotMovable(LocalError):
    """The server has something that SV2M does not move yet."""

    code = "server-not-movable"
    remedy = "Change what the message names, or move this server another way."
    http_status = 409


class PeerError(SV2MError):
    """The other cloud sent something wrong, or did not answer."""

    fault = "peer"
    code = "peer-error"
    remedy = "Tell the peer's operators the message and the migration id."
    http_status = 502


class PeerUnreachable(PeerError):
    """The peer's gateway or data endpoint cannot be reached."""

    code = "peer-unreachable"
    remedy = "Check the network and the peer's url in its agreement (secure migration peer show)."


class MalformedMessage(PeerError):
    """Bytes from the peer are not the message they should be."""

    code = "malformed-message"


class UnexpectedMessage(PeerError):
    """A well-formed message came at a moment at which the protocol does not allow it."""

    code = "unexpected-message"


class InvalidSignature(PeerError):
    """A signature does not verify, or does not cover what it must."""

    code = "invalid-signature"
    remedy = "Do not trust this message. If it repeats, ask the peer's operators which certificate they sign with."


class InvalidCertificate(PeerError):
    """The peer's certificate is expired, revoked, for another name or use, or not from the agreed CA."""

    code = "invalid-certificate"
    remedy = "Ask the peer's operators to enrol a valid certificate with the CA named in the agreement."


class PeerKeyCompromised(PeerError):
    """After the commit the peer's CA says that the key with which the peer signs may be a thief's: people decide."""

    code = "peer-key-compromised"
    remedy = (
        "Ask the peer's operators, by a way on which the thief of a key cannot answer, whether what they signed in "
        "this migration is theirs. If it is: openstack secure migration decide ID accept-key --reason \"...\". See "
        "doc/operating.md, When a person has to decide."
    )


class ReplayedMessage(PeerError):
    """A migration id, generation, nonce or ticket was used before."""

    code = "replayed-message"


class IntegrityError(PeerError):
    """A segment, key or manifest is not what the peer's signature says."""

    code = "integrity-error"


class RefusedByPeer(PeerError):
    """The peer refused, signed, with a reason."""

    code = "refused-by-peer"
    remedy = "The reason is the peer's; agree with its operators, then try again."
    http_status = 409


class HostError(SV2MError):
    """A service or host of this cloud failed: Nova, Barbican, Placement, Cinder, libvirt, QEMU, the database."""

    fault = "host"
    code = "host-error"
    remedy = "Look at the service named in the message; the migration was undone or will go on when it is back."
    http_status = 503


class HypervisorError(HostError):
    """libvirt or QEMU refused or failed."""

    code = "hypervisor-error"


class KeyManagerError(HostError):
    """Barbican refused or failed."""

    code = "key-manager-error"


class ServiceUnavailable(HostError):
    """A service of this cloud does not answer."""

    code = "service-unavailable"


class AgentLost(HostError):
    """The agent of a compute host no longer answers, or was restarted in the middle of its work."""

    code = "agent-lost"
    remedy = "Look at sv2m-agent on the host named in the message. The migration was undone; try again."


class AgentSilent(AgentLost):
    """No answer came. The agent may be at work all the same: the broker, or the way to it, may have failed."""


class MemoryLost(HostError):
    """A server that ran, or was paused, when its migration began was found stopped when that was over."""

    code = "memory-lost"
    remedy = "Start the server (openstack server start): its disks are whole, and it boots from them."


class PolicyError(SV2MError):
    """A rule says no; the message names the rule."""

    fault = "policy"
    code = "forbidden"
    remedy = "Ask whoever keeps the rule named in the message."
    http_status = 403


class AgreementError(PolicyError):
    """No agreement with the peer allows this."""

    code = "no-agreement"
    remedy = (
        "Check the peer's name and agreement (openstack secure migration peer list). An administrator makes and "
        "changes agreements (peer create, peer set)."
    )


class TooManyOffers(PolicyError):
    """As many offers of the peer as may wait for its answer do so already."""

    code = "too-many-offers"
    remedy = "Ask again later: an offer waits until it is answered, or until its time to be answered is over."
    http_status = 429


class CertificateEnds(PolicyError):
    """A certificate of one of the two clouds ends too soon after the offer's NotAfter, or before it."""

    remedy = "Renew the certificate that the message names, and start a new migration."
    http_status = 409


class SourceCertificateEnds(CertificateEnds):
    """The source's."""

    code = "source-certificate-ends"


class DestinationCertificateEnds(CertificateEnds):
    """The destination's."""

    code = "destination-certificate-ends"


class OfferTooLong(PolicyError):
    """An offer's NotAfter is further away than this cloud holds anything for a peer."""

    code = "offer-lives-too-long"
    remedy = "Lower [engine] offer_lifetime at the source, or raise [engine] longest_offer_lifetime at the destination."
    http_status = 409


class NoRoom(PolicyError):
    """The cloud has no room for this VM now."""

    code = "no-room"
    remedy = "Try later, or ask the operators of the cloud for room."
    http_status = 409


def refuse_private_key(given: str | bytes, where: str) -> None:
    """Insist that there is no private key in PEM, of any kind, in something that somebody gave.

    :param where: the field, option or file, for the message, which quotes nothing.
    :raises PrivateKeyGiven: there is one.
    """
    # Every kind's label ends so: RFC 5958's, OpenSSL's, OpenSSH's, SSH2's. In capitals alone: a certificate's text
    # may speak of its private key.
    found = "PRIVATE KEY" in given if isinstance(given, str) else b"PRIVATE KEY" in given
    if found:
        raise PrivateKeyGiven(f"{where} holds a private key")

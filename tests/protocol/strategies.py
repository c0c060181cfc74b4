# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for every message."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from sv2m import protocol as p

NAME = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z0-9]{1,10})?", fullmatch=True)
TOKEN = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:,=+-]{0,20}", fullmatch=True)
CODE = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
#: Everything that XML can carry unchanged, with a liking for what must be escaped.
TEXT = st.text(
    st.one_of(
        st.sampled_from("&<>\"' ]"),
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]).filter(
            lambda c: ord(c) & 0xFFFE != 0xFFFE
        ),
    ),
    max_size=60,
)
ID = st.uuids().map(str)
TIME = st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31, 23, 59, 59), timezones=st.just(UTC))
SHA256 = st.binary(min_size=32, max_size=32)
SHA384 = st.binary(min_size=48, max_size=48)
NONCE = SHA256


def disks(draw: st.DrawFn) -> tuple[p.Disk, ...]:
    count = draw(st.integers(1, 4))
    result = []
    for index in range(count):
        encrypted = draw(st.booleans())
        logical = draw(st.integers(9, 21))
        result.append(
            p.Disk(
                index=index,
                target=draw(TOKEN),
                bus=draw(TOKEN),
                size=draw(st.integers(1, 1 << 46)),
                logical_block_size=1 << logical,
                physical_block_size=1 << draw(st.integers(logical, 21)),
                volume_gb=draw(st.integers(0, 65536)),
                encrypted=encrypted,
                cipher=draw(TOKEN) if encrypted else "",
                key_size=draw(st.integers(1, 4096)) if encrypted else 0,
                boot=draw(st.booleans()),
            )
        )
    return tuple(result)


@st.composite
def needs(draw: st.DrawFn) -> p.Needs:
    custom = draw(st.booleans())
    return p.Needs(
        name=draw(TEXT.filter(bool)),
        vm=draw(ID),
        vcpus=draw(st.integers(1, 4096)),
        memory_mb=draw(st.integers(1, 1 << 26)),
        architecture=draw(TOKEN),
        machine=draw(TOKEN),
        firmware=draw(st.sampled_from(["bios", "uefi"])),
        cpu=p.Cpu("custom", draw(TOKEN)) if custom else p.Cpu("none", ""),
        virt_type=draw(st.sampled_from(["qemu", "kvm"])),
        sysinfo=p.Sysinfo(draw(TEXT), draw(TEXT), draw(TEXT)),
        root_gb=draw(st.integers(0, 65536)),
        ephemeral_gb=draw(st.integers(0, 65536)),
        swap_mb=draw(st.integers(0, 1 << 26)),
        disks=disks(draw),
        nics=tuple(
            p.Nic(
                index,
                draw(st.from_regex(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", fullmatch=True)),
                draw(TOKEN),
                1500,
            )
            for index in range(draw(st.integers(0, 3)))
        ),
        devices=tuple(sorted(draw(st.lists(TOKEN, max_size=5)))),
        addresses=tuple(sorted(draw(st.sets(TOKEN, max_size=5)))),
    )


PARTY = st.builds(
    p.Party, NAME, st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5).map(tuple)
)
ACCEPTED = st.builds(p.Accepted, st.binary(min_size=300, max_size=600), NAME, st.integers(1, 65535))
REFUSED = st.builds(p.Refused, CODE, TEXT.filter(bool))


def wrapped(name: str) -> st.SearchStrategy[p.WrappedKey]:
    vmk = name == "VMK"
    return st.builds(
        p.WrappedKey,
        name=st.just(name),
        kind=st.just("vmk" if vmk else "luks-passphrase"),
        cipher_value=st.binary(min_size=384, max_size=512),
        commitment=SHA256,
        size=st.just(256) if vmk else st.integers(1, 256).map(lambda size: 8 * size),
    )


KEYS = st.integers(0, 3).flatmap(
    lambda count: st.tuples(wrapped("VMK"), *(wrapped(f"EIK-{n}") for n in range(count)))
)
SIZES = st.integers(22, 26).map(lambda power: 1 << power)
PLANS = st.integers(0, 3).flatmap(
    lambda disks: st.tuples(
        st.builds(p.StreamPlan, st.just(1), st.just("memory"), st.just(0), SIZES),
        *(st.builds(p.StreamPlan, st.just(n + 2), st.just("disk"), st.just(n), SIZES) for n in range(disks)),
    )
)
SUMMARIES = st.lists(st.integers(1, 255), min_size=1, max_size=4, unique=True).flatmap(
    lambda ids: st.tuples(
        *(
            st.integers(1, 40).flatmap(
                lambda segments, stream=stream: st.builds(
                    p.StreamSummary, st.just(stream), st.just(segments), st.integers(segments, segments << 26)
                )
            )
            for stream in sorted(ids)
        )
    )
)
STATE = {"migration_id": ID, "sid": SHA384, "envelope_digest": SHA384, "transfer_digest": SHA384}
CERTIFICATES = {"source_certificate_digest": SHA256, "destination_certificate_digest": SHA256}
TOKENS = {"nonce_a": NONCE, "nonce_b": NONCE, "source": NAME, "destination": NAME, "offer_digest": SHA384}

MESSAGES = {
    "Offer": st.builds(
        p.Offer,
        migration_id=ID,
        generation=st.integers(1, (1 << 63) - 1),
        source=PARTY,
        destination=NAME,
        mode=st.just("paused"),
        not_after=TIME,
        needs=needs(),
    ),
    "TokenBA1": st.builds(p.TokenBA1, ID, PARTY, NONCE),
    "TokenAB": st.builds(p.TokenAB, migration_id=ID, **TOKENS, **CERTIFICATES),
    "TokenBA2": st.builds(
        p.TokenBA2, migration_id=ID, **TOKENS, **CERTIFICATES, decision=st.one_of(ACCEPTED, REFUSED)
    ),
    "Envelope": st.builds(
        p.Envelope,
        migration_id=ID,
        sid=SHA384,
        source=NAME,
        destination=NAME,
        **CERTIFICATES,
        streams=PLANS,
        keys=KEYS,
    ),
    "Transfer": st.builds(p.Transfer, ID, SHA384, SUMMARIES, SHA384, st.binary(min_size=29, max_size=300)),
    "Prepared": st.builds(p.Prepared, **STATE),
    "Release": st.builds(p.Release, **STATE, prepared_digest=SHA384, released_at=TIME),
    "Receipt": st.one_of(
        st.builds(
            p.Receipt,
            **STATE,
            release_digest=SHA384,
            at=TIME,
            outcome=st.just("resumed"),
            reason=st.sampled_from(["none", "declared-running"]),
        ),
        st.builds(
            p.Receipt,
            **STATE,
            release_digest=SHA384,
            at=TIME,
            outcome=st.just("refused"),
            reason=CODE.filter(lambda code: code not in ("none", "declared-running")),
        ),
    ),
    "Closure": st.one_of(
        st.builds(p.Closure, ID, SHA384, st.sampled_from(["withdrawn", "taken-back"]), st.just(p.NOTHING), TIME),
        st.builds(p.Closure, ID, SHA384, st.just("removed"), SHA384.filter(lambda d: d != p.NOTHING), TIME),
    ),
}

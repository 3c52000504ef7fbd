"""A reassembler that is obviously right, one cell at a time, to hold the real one against.

It shares no code with atmdepot: HEC and CRC are computed here bit by bit (or by crcmod), and nothing is cached.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from crcmod.predefined import mkCrcFun

plain_crc32 = mkCrcFun("crc-32-bzip2")


def plain_hec(octets: bytes) -> int:
    """CRC-8 x^8+x^2+x+1 over 4 octets by long division, XOR 0x55."""
    register = int.from_bytes(octets[:4], "big") << 8
    for bit in range(39, 7, -1):
        if register >> bit & 1:
            register ^= 0x107 << bit - 8
    return register ^ 0x55


def mended(header: bytes) -> bytes | None:
    """The header with the one bit flipped that makes its HEC right, found by trying all 40."""
    number = int.from_bytes(header, "big")
    for bit in range(40):
        tried = (number ^ 1 << bit).to_bytes(5, "big")
        if plain_hec(tried) == tried[4]:
            return tried
    return None


def plain_pdu(sdu: bytes) -> bytes:
    """The CPCS-PDU of an SDU."""
    body = sdu + bytes(-(len(sdu) + 8) % 48) + b"\0\0" + len(sdu).to_bytes(2, "big")
    return body + plain_crc32(body).to_bytes(4, "big")


@dataclass(eq=False)
class PlainVc:
    """A VC: its greatest SDU, the PDU so far, and what is expected of the real one's counters."""

    max_sdu: int
    pieces: list[bytes] = field(default_factory=list)
    clp: int = 0
    started: int = 0
    discarding: bool = False
    rx_cells: int = 0
    rx_pdus: int = 0
    rx_clp1: int = 0
    rx_efci: int = 0

    def drop(self) -> None:
        """Hold nothing."""
        self.pieces, self.clp, self.discarding = [], 0, False


class PlainReassembler:
    """Cells of a UNI in, SDUs `(vpi, vci, octets, clp, congested)` out; `drops` by the names of the reasons."""

    def __init__(self, timeout: int, max_octets: int) -> None:
        self.timeout, self.max_octets = timeout, max_octets
        self.vcs: dict[tuple[int, int], PlainVc] = {}
        self.waiting: list[PlainVc] = []  # PDUs under way, and those given up but not ended: oldest first
        self.drops: Counter[str] = Counter()
        self.correction_mode = True
        self.corrected = self.discarded = self.unassigned = 0

    @property
    def octets_pending(self) -> int:
        return sum(48 * len(vc.pieces) for vc in self.vcs.values())

    def receive(self, cell: bytes, now: int) -> tuple[int, int, bytes, int, bool] | None:
        header = self._check(cell[:5])
        if header is None:
            self.drops["hec-error"] += 1
            return None
        word = int.from_bytes(header[:4], "big")
        vpi, vci, pti, clp = word >> 20 & 0xFF, word >> 4 & 0xFFFF, word >> 1 & 7, word & 1
        if vpi == vci == 0:
            self.unassigned += 1
            return None
        if pti >= 4 or vci < 32:
            self.drops["not-user-data"] += 1
            return None
        vc = self.vcs.get((vpi, vci))
        if vc is None:
            self.drops["unknown-vc"] += 1
            return None
        vc.rx_cells += 1
        sdu = self._user_cell(vc, cell[5:], last=bool(pti & 1), clp=clp, now=now)
        if sdu is None:
            return None
        octets, clp = sdu
        vc.rx_pdus += 1
        vc.rx_clp1 += clp
        vc.rx_efci += pti >> 1 & 1
        return vpi, vci, octets, clp, bool(pti & 2)

    def _check(self, header: bytes) -> bytes | None:
        """I.432.1 figure 3."""
        if plain_hec(header) == header[4]:
            self.correction_mode = True
            return header
        good = mended(header) if self.correction_mode else None
        self.correction_mode = False
        if good is None:
            self.discarded += 1
        else:
            self.corrected += 1
        return good

    def _user_cell(self, vc: PlainVc, payload: bytes, *, last: bool, clp: int, now: int) -> tuple[bytes, int] | None:
        if vc.discarding:
            if last:
                self._end(vc)
            return None
        if not vc.pieces:
            vc.started = now
            self.waiting.append(vc)
        vc.pieces.append(payload)
        vc.clp |= clp
        if len(vc.pieces) > (vc.max_sdu + 8 + 47) // 48:
            self._give_up(vc, "oversize", now)
            if last:
                self._end(vc)
            return None
        if last:
            pdu, clp = b"".join(vc.pieces), vc.clp
            self._end(vc)
            sdu = self._unpack(pdu, vc.max_sdu)
            return None if sdu is None else (sdu, clp)
        while self.octets_pending > self.max_octets:
            self._give_up(next(vc for vc in self.waiting if vc.pieces), "reassembly-overflow", now)
        return None

    def _unpack(self, pdu: bytes, max_sdu: int) -> bytes | None:
        length = int.from_bytes(pdu[-6:-4], "big")
        if plain_crc32(pdu[:-4]) != int.from_bytes(pdu[-4:], "big"):
            self.drops["crc-error"] += 1
        elif length == 0:
            self.drops["aborted"] += 1
        elif -(-(length + 8) // 48) * 48 != len(pdu):
            self.drops["length-error"] += 1
        elif length > max_sdu:
            self.drops["oversize"] += 1
        else:
            return pdu[:length]
        return None

    def _give_up(self, vc: PlainVc, reason: str, now: int) -> None:
        self.drops[reason] += 1
        self._end(vc)
        vc.discarding, vc.started = True, now
        self.waiting.append(vc)

    def _end(self, vc: PlainVc) -> None:
        vc.drop()
        self.waiting.remove(vc)

    def close(self, key: tuple[int, int]) -> None:
        """Close a VC and hold nothing of it."""
        vc = self.vcs.pop(key)
        self.waiting = [other for other in self.waiting if other is not vc]

    def expire(self, now: int) -> None:
        for vc in [vc for vc in self.waiting if vc.started + self.timeout <= now]:
            self.drops["reassembly-timeout"] += not vc.discarding
            self._end(vc)

    def next_timer(self) -> int | None:
        return min((vc.started + self.timeout for vc in self.waiting), default=None)

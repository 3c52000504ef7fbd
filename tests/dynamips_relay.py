"""Dynamips' Frame Relay switch (`common/frame_relay.c`), as its source behaves, octet for octet.

Dynamips itself is not here to be run. It switches by the first two octets, whatever EA says, and changes nothing but
the DLCI. Its LMI is ANSI's, always the network side: it wants the seven octets of an enquiry exactly so, refuses report
types above 1, adopts any sequence number, and says that each of its DLCIs is active.
"""

from __future__ import annotations

from collections import defaultdict

_HEAD = bytes.fromhex("00010308007595")


class DynamipsSwitch:
    """Interfaces by name, and cross-connects of their DLCIs. `receive` returns what leaves: interface and octets."""

    def __init__(self) -> None:
        self._connects: dict[tuple[str, int], tuple[str, int]] = {}
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self.drops = 0

    def connect(self, one: str, dlci: int, other: str, far: int) -> None:
        """Cross-connect in both directions (there: `frsw create_vc`, twice)."""
        self._connects[one, dlci] = other, far
        self._connects[other, far] = one, dlci

    def receive(self, interface: str, frame: bytes) -> tuple[str, bytes] | None:
        """Switch a frame, or answer it; None where it drops it."""
        dlci = (frame[0] & 0xFC) >> 2 << 4 | (frame[1] & 0xF0) >> 4
        if dlci == 0:
            answer = self._lmi(interface, frame)
            return None if answer is None else (interface, answer)
        to = self._connects.get((interface, dlci))
        if to is None:
            self.drops += 1
            return None
        output, out = to
        return output, bytes((frame[0] & 0x03 | out >> 4 << 2, frame[1] & 0x0F | (out & 0x0F) << 4)) + frame[2:]

    def _lmi(self, interface: str, frame: bytes) -> bytes | None:
        if len(frame) <= len(_HEAD) or not frame.startswith(_HEAD):
            return None
        answer, report, has_numbers = bytearray(_HEAD), None, False
        answer[5] = 0x7D
        at = len(_HEAD)
        while at + 2 < len(frame):
            element, size = frame[at], frame[at + 1]
            if at + size + 2 > len(frame):
                return None
            if element == 1:
                if size != 1 or frame[at + 2] > 1:
                    return None
                report = frame[at + 2]
                answer += bytes((1, 1, report))
            elif element == 3:
                if size != 2:
                    return None
                number = (frame[at + 3] + 1) & 0xFF or 1
                self._numbers[interface] = number
                answer += bytes((3, 2, number, frame[at + 2]))
                has_numbers = True
            else:
                break
            at += size + 2
        if report is None or not has_numbers:
            return None
        if report == 0:
            for dlci in sorted(dlci for name, dlci in self._connects if name == interface):
                answer += bytes((7, 3, dlci >> 4, 0x80 | (dlci & 0x0F) << 3, 0x82))
        return bytes(answer)

"""The byte log, held against a string of all octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmdepot.depot.byte_log import ByteLog
from tests.effort import examples


@given(st.lists(st.binary(max_size=300), max_size=20), st.sampled_from((1, 100, 1024)), st.data())
@examples(100)
def test_log_has_its_last_octets_at_their_offsets(pieces: list[bytes], most: int, data: st.DataObject) -> None:
    log, everything = ByteLog(most), b"".join(pieces)
    for piece in pieces:
        log.append(piece)
        assert log.end - log.start < most + max(most // 256, 1) + 1
    assert log.end == len(everything)
    assert log.end - log.start >= min(most, log.end)
    offset = data.draw(st.integers(log.start, log.end))
    read = b""
    while offset + len(read) < log.end:
        read += log.read(offset + len(read), data.draw(st.integers(1, 99)))
    assert read == everything[offset:]
    for outside in (log.start - 1, log.end + 1):
        with pytest.raises(ValueError, match=f"offset {outside} is not in the log"):
            log.read(outside, 1)

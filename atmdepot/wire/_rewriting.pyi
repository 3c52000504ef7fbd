from atmdepot.wire.offload import PlainFrame

def rewritten(
    octets: bytes, source: bytes | None, source_port: int, destination: bytes | None, destination_port: int,
) -> bytes | None: ...
def rewrite_frame(
    frame: PlainFrame, source: bytes | None, source_port: int, destination: bytes | None, destination_port: int,
) -> bool: ...

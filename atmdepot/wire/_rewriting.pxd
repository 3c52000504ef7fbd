from atmdepot.wire._offload cimport Frame


cpdef bytes rewritten(bytes octets, bytes source, int source_port, bytes destination, int destination_port)
cpdef bint rewrite_frame(
    Frame frame, bytes source, int source_port, bytes destination, int destination_port) except -1

cpdef bytes source_of_key(bytes key)
cpdef bytes destination_of_key(bytes key)

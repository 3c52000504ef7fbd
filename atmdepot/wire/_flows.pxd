cpdef bytes flow_key(int protocol, bytes source, int sport, bytes destination, int dport)
cpdef bytes reverse_key(bytes key)

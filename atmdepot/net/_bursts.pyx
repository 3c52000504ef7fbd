"""The compiled twin of `bursts.py`: the same functions, which make the system calls of a burst in one go."""

from cpython.exc cimport PyErr_CheckSignals
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, EBADFD, EEXIST, EINTR, errno
from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime
from posix.time cimport timespec as moment
from posix.unistd cimport close, read, write

import os
import socket

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct timespec:
        pass
    int SOL_SOCKET, AF_INET, AF_INET6, MSG_DONTWAIT
    ssize_t sendmsg(int, const msghdr*, int)
    cmsghdr* CMSG_FIRSTHDR(msghdr*)
    cmsghdr* CMSG_NXTHDR(msghdr*, cmsghdr*)
    unsigned char* CMSG_DATA(cmsghdr*)
    size_t CMSG_SPACE(size_t)
    size_t CMSG_LEN(size_t)

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/socket.h>
    """
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int, mmsghdr*, unsigned int, int, timespec*) nogil
    int sendmmsg(int, mmsghdr*, unsigned int, int) nogil

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        unsigned char s6_addr[16]
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_flowinfo
        uint32_t sin6_scope_id
    uint16_t htons(uint16_t)
    uint16_t ntohs(uint16_t)
    uint32_t htonl(uint32_t)

cdef extern from "<sys/epoll.h>" nogil:
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD
    int epoll_create1(int flags)
    int epoll_ctl(int descriptor, int operation, int other, epoll_event* event)
    int epoll_wait(int descriptor, epoll_event* events, int most, int timeout)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    /* epoll_wait to the nanosecond (Linux 5.11), else to the millisecond. By its number, since glibc has it from 2.35 on. */
    static int wait_exactly(int descriptor, struct epoll_event* events, int most, double wait) {
    #if defined(SYS_epoll_pwait2) && __LP64__
        static int is_missing = 0;
        if (!is_missing) {
            struct timespec timeout;
            timeout.tv_sec = (time_t)wait;
            timeout.tv_nsec = (long)((wait - (double)timeout.tv_sec) * 1e9);
            int count = (int)syscall(SYS_epoll_pwait2, descriptor, events, most, &timeout, NULL, 0);
            if (count >= 0 || errno != ENOSYS)
                return count;
            is_missing = 1;
        }
    #endif
        return epoll_wait(descriptor, events, most, (int)(wait * 1000 + 0.999));
    }
    """
    int wait_exactly(int descriptor, epoll_event* events, int most, double wait) nogil

cdef enum:
    SLICE = 1_000_000
    SOON = 20_000_000
    SHORT_CALM = 100_000_000
    LONG_CALM = 1_000_000_000
    MAX_PACKET = 65599
    MAX_DATAGRAM = 65536
    DATAGRAMS = 16
    LARGE = 8192  # octets in a datagram, or joined by the kernel, that more may follow
    LARGE_ROOM = 4 * MAX_DATAGRAM
    CONTROL_WORDS = 12
    FRAME_ROOM = 65664  # a virtio_net_hdr, the header of a frame, and 64 KB
    RECORD_HEADER = 4
    CELL = 53
    SOL_UDP = 17
    UDP_SEGMENT = 103
    UDP_GRO = 104
    SO_RXQ_OVFL = 40
    SOL_IP = 0
    IP_PKTINFO = 8
    SOL_IPV6 = 41
    IPV6_PKTINFO = 50
    IN_IPV6_PKTINFO = 16  # offset of the interface, behind an address of 16 octets

cdef unsigned char _packet[MAX_PACKET]


def read_packets(int descriptor, Py_ssize_t most):
    """Read packets, a system call for each, until no packet waits or `most` are read; see `bursts.py`."""
    cdef ssize_t length
    cdef list packets = []
    cdef Py_ssize_t count = 0
    while count < most:
        length = read(descriptor, _packet, MAX_PACKET)
        if length > 0:
            packets.append(PyBytes_FromStringAndSize(<char*>_packet, length))
            count += 1
        elif length == 0:  # a socket pair in place of a device, whose other end is closed
            return packets, EBADFD
        elif errno == EAGAIN:
            break
        elif errno != EINTR:
            return packets, errno
    return packets, 0


def write_packets(int descriptor, list packets):
    """Write packets, a system call for each; return the packets that the kernel refused."""
    cdef list refused = []
    cdef bytes packet
    for packet in packets:
        while write(descriptor, PyBytes_AS_STRING(packet), PyBytes_GET_SIZE(packet)) < 0:
            if errno != EINTR:
                refused.append(packet)
                break
    return refused


cdef inline long long _now() noexcept nogil:
    cdef moment now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1_000_000_000LL + now.tv_nsec


cdef class Poller:
    """An epoll set; see `bursts.py`."""

    def __cinit__(self):
        self._calm = SHORT_CALM
        self._last_slice = -LONG_CALM
        self._descriptor = epoll_create1(EPOLL_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        self.close()

    def fileno(self):
        """The descriptor of the set."""
        return self._descriptor

    def watch(self, int descriptor, uint32_t events):
        """Add a descriptor to the set, or change the events to wait for."""
        cdef epoll_event event
        event.events, event.data.fd = events, descriptor
        if epoll_ctl(self._descriptor, EPOLL_CTL_ADD, descriptor, &event) < 0 and (
                errno != EEXIST or epoll_ctl(self._descriptor, EPOLL_CTL_MOD, descriptor, &event) < 0):
            raise OSError(errno, os.strerror(errno))

    cpdef long long now(self) noexcept:
        """The time of the clock that `poll` waits by (CLOCK_MONOTONIC, ns)."""
        return _now()

    cpdef int poll(self, double wait, long long spin) except -1:
        """Wait for ready descriptors; return their count; see `bursts.py`."""
        cdef epoll_event* events = self._ready
        cdef int count = 0, failure
        cdef long long before, now, end
        with nogil:
            now = _now()
            end = now + spin if now >= self._no_spin_before else 0
            while now < end:
                count = epoll_wait(self._descriptor, events, EVENTS, 0)
                if count:
                    break
                sched_yield()
                before, now = now, _now()
                if now - before > SLICE:
                    self._lost_a_slice(before, now)
                    break
            if not count:
                count = wait_exactly(self._descriptor, events, EVENTS, wait)
            failure = errno  # before the interpreter can change it
        if count < 0:
            PyErr_CheckSignals()
            if failure != EINTR:
                raise OSError(failure, os.strerror(failure))
            count = 0
        self._count = count
        return count

    cdef void _lost_a_slice(self, long long before, long long now) noexcept nogil:
        cdef bint soon_again = now - self._no_spin_before < LONG_CALM
        if soon_again or before - self._last_slice < SOON:
            self._calm = min(2 * self._calm, LONG_CALM) if soon_again else SHORT_CALM
            self._no_spin_before = now + self._calm
        self._last_slice = now

    cpdef int descriptor(self, int number) except -1:
        """A descriptor that the last `poll` found ready."""
        if not 0 <= number < self._count:
            raise IndexError("no such descriptor")
        return self._ready[number].data.fd

    cpdef long long events(self, int number) except -1:
        """The events that are ready on it."""
        if not 0 <= number < self._count:
            raise IndexError("no such descriptor")
        return self._ready[number].events

    cpdef close(self):
        """Close the set."""
        if self._descriptor >= 0:
            close(self._descriptor)
        self._descriptor = -1


cdef socklen_t _fill(sockaddr_storage* into, int family, tuple address) except 0:
    """Write an address of the socket module's form (an address, no host name)."""
    cdef sockaddr_in* four = <sockaddr_in*>into
    cdef sockaddr_in6* six = <sockaddr_in6*>into
    cdef bytes packed = socket.inet_pton(family, address[0].partition("%")[0])
    memset(into, 0, sizeof(sockaddr_storage))
    if family == AF_INET:
        four.sin_family = AF_INET
        four.sin_port = htons(address[1])
        memcpy(&four.sin_addr, PyBytes_AS_STRING(packed), 4)
        return sizeof(sockaddr_in)
    six.sin6_family = AF_INET6
    six.sin6_port = htons(address[1])
    memcpy(&six.sin6_addr, PyBytes_AS_STRING(packed), 16)
    if len(address) > 2:
        six.sin6_flowinfo = htonl(address[2])
        six.sin6_scope_id = address[3]
    return sizeof(sockaddr_in6)


cdef tuple _read(const sockaddr_storage* source):
    """An address in the socket module's form."""
    cdef const sockaddr_in* four = <const sockaddr_in*>source
    cdef const sockaddr_in6* six = <const sockaddr_in6*>source
    if source.ss_family == AF_INET:
        return (socket.inet_ntop(AF_INET, PyBytes_FromStringAndSize(<char*>&four.sin_addr, 4)), ntohs(four.sin_port))
    return (socket.inet_ntop(AF_INET6, PyBytes_FromStringAndSize(<char*>&six.sin6_addr, 16)), ntohs(six.sin6_port))


cdef class DatagramBursts:
    """Interface between a link and its socket; see `bursts.py`."""

    cpdef list receive(self, int most):
        """Read the datagrams that wait."""
        raise NotImplementedError

    cpdef Py_ssize_t send(self, bytes cells, Py_ssize_t at, Py_ssize_t size, uint16_t datagram) except -1:
        """Send cells."""
        raise NotImplementedError


cdef class Datagrams(DatagramBursts):
    """Bursts of a UDP socket to and from its peer; see `bursts.py`."""

    cdef int _descriptor, _family
    cdef public tuple peer
    cdef public int interface  # number of the interface of the peer's datagrams; 0: any, -1: no interface fits
    cdef sockaddr_storage _to
    cdef socklen_t _to_length
    cdef unsigned char* _buffers
    cdef mmsghdr _messages[DATAGRAMS]
    cdef iovec _vectors[DATAGRAMS]
    cdef sockaddr_storage _sources[DATAGRAMS]
    cdef sockaddr_storage _known  # the peer's address as its datagrams bear it: compared without a conversion
    cdef bint _is_known
    cdef bint _is_large  # the last burst had a large train
    cdef long long _overflow  # drops that the socket reported last
    cdef size_t _control[DATAGRAMS][CONTROL_WORDS]  # of words, for the alignment of a cmsghdr

    def __cinit__(self, int descriptor, int family, tuple peer):
        cdef int number
        self._descriptor, self._family = descriptor, family
        self._buffers = <unsigned char*>calloc(DATAGRAMS, MAX_DATAGRAM)
        if self._buffers == NULL:
            raise MemoryError
        for number in range(DATAGRAMS):
            self._vectors[number].iov_base = self._buffers + number * MAX_DATAGRAM
            self._vectors[number].iov_len = MAX_DATAGRAM
            self._prepare(number)
        self.answer(peer)

    cdef void _prepare(self, int number) noexcept:
        """Reset a message header, which recvmmsg overwrites."""
        cdef msghdr* header = &self._messages[number].msg_hdr
        header.msg_name = &self._sources[number]
        header.msg_namelen = sizeof(sockaddr_storage)
        header.msg_iov = &self._vectors[number]
        header.msg_iovlen = 1
        header.msg_control = self._control[number]
        header.msg_controllen = sizeof(self._control[number])
        header.msg_flags = 0

    def __dealloc__(self):
        free(self._buffers)

    def answer(self, tuple peer):
        """Send to this address from now on, and take datagrams from it for the peer's."""
        self._to_length = _fill(&self._to, self._family, peer)
        self.peer = (peer[0].partition("%")[0], peer[1])
        self._is_known = False

    cpdef list receive(self, int most):
        """Read the datagrams that wait, and leave the errno of the last failed read in `error`; see `bursts.py`."""
        cdef int number, count, want, got = 0
        cdef list received = []
        cdef object item
        self.joined = self.error = 0
        if self._is_large:
            return self._receive_large(most)
        while got < most:
            want = min(most - got, DATAGRAMS)
            count = recvmmsg(self._descriptor, self._messages, want, MSG_DONTWAIT, NULL)
            if count < 0:
                if errno == EAGAIN:
                    break
                if errno != EINTR:  # an ICMP error for a datagram sent before
                    self.error = errno
                got += 1
                continue
            for number in range(count):
                item = self._item(number, False)
                received.append(item)
                # Of a link with a format, datagrams are unpacked each by itself, so they gain no buffer in common.
                if self._messages[number].msg_len >= LARGE and isinstance(item, bytes):
                    self._is_large = True
                self._prepare(number)
            got += count
            if count < want:
                break
        return received

    cdef list _receive_large(self, int most):
        """Read trains one behind the other, a system call for each, so that packets in them follow one another."""
        cdef bytes room = PyBytes_FromStringAndSize(NULL, LARGE_ROOM)
        cdef Py_ssize_t filled = 0
        cdef list received = []
        cdef int got = 0, count
        cdef PyObject *made
        cdef object item = None
        self._is_large = False
        while got < most and filled + MAX_DATAGRAM <= LARGE_ROOM and item is None:
            got += 1
            self._vectors[0].iov_base = PyBytes_AS_STRING(room) + filled
            count = recvmmsg(self._descriptor, self._messages, 1, MSG_DONTWAIT, NULL)
            if count < 0:
                self._vectors[0].iov_base = self._buffers
                if errno == EAGAIN:
                    break
                if errno != EINTR:  # an ICMP error for a datagram sent before
                    self.error = errno
                continue
            try:
                item = self._item(0, True)
            finally:
                self._vectors[0].iov_base = self._buffers
            if item is None:  # whole cells of the peer, which lie where they belong
                filled += self._messages[0].msg_len
                self._is_large = self._is_large or self._messages[0].msg_len >= LARGE
            self._prepare(0)
        if filled:
            made = <PyObject *>room
            Py_INCREF(room)
            room = None  # resizing wants a single reference
            if _PyBytes_Resize(&made, filled) < 0:
                raise MemoryError
            received.append(<object>made)
            Py_DECREF(<object>made)
        if item is not None:
            received.append(item)
        return received

    cdef object _item(self, int number, bint in_place):
        """The octets of a message, with what is odd about it; None for whole cells of the peer that stay `in_place`."""
        cdef mmsghdr* message = &self._messages[number]
        cdef cmsghdr* header = CMSG_FIRSTHDR(&message.msg_hdr)
        cdef Py_ssize_t length = message.msg_len
        cdef Py_ssize_t segment = length
        cdef long long overflow = -1
        cdef int joined, interface = 0
        cdef bint is_peer, is_there, is_plain
        cdef uint32_t lost
        while header != NULL:
            if header.cmsg_level == SOL_UDP and header.cmsg_type == UDP_GRO and header.cmsg_len >= CMSG_LEN(sizeof(int)):
                memcpy(&joined, CMSG_DATA(header), sizeof(joined))
                if joined > 0:
                    segment = joined
            elif (header.cmsg_level == SOL_SOCKET and header.cmsg_type == SO_RXQ_OVFL
                    and header.cmsg_len >= CMSG_LEN(sizeof(lost))):
                memcpy(&lost, CMSG_DATA(header), sizeof(lost))
                overflow = lost
            elif (header.cmsg_level == SOL_IP and header.cmsg_type == IP_PKTINFO
                    and header.cmsg_len >= CMSG_LEN(sizeof(interface))):
                memcpy(&interface, CMSG_DATA(header), sizeof(interface))
            elif (header.cmsg_level == SOL_IPV6 and header.cmsg_type == IPV6_PKTINFO
                    and header.cmsg_len >= CMSG_LEN(IN_IPV6_PKTINFO + sizeof(interface))):
                memcpy(&interface, CMSG_DATA(header) + IN_IPV6_PKTINFO, sizeof(interface))
            header = CMSG_NXTHDR(&message.msg_hdr, header)
        is_peer = self._is_peer(number)
        is_there = self.interface == 0 or interface == self.interface
        is_plain = is_peer and is_there and length and length % CELL == 0 and segment % CELL == 0 and (
            overflow < 0 or overflow == self._overflow)
        if is_plain:
            self.joined += (length + segment - 1) // segment
            if in_place:
                return None
        octets = PyBytes_FromStringAndSize(<char*>self._vectors[number].iov_base, length)
        if is_plain:
            return octets
        if overflow >= 0:
            self._overflow = overflow
        if not is_there:
            return octets, segment, overflow, _read(&self._sources[number]) + (interface,)
        return octets, segment, overflow, None if is_peer else _read(&self._sources[number])

    cdef bint _is_peer(self, int number):
        cdef sockaddr_storage* source = &self._sources[number]
        cdef size_t length = sizeof(sockaddr_in) if source.ss_family == AF_INET else sizeof(sockaddr_in6)
        if self._is_known:
            return memcmp(source, &self._known, length) == 0
        if _read(source) != self.peer:
            return False
        memcpy(&self._known, source, length)
        self._is_known = True
        return True

    cpdef Py_ssize_t send(self, bytes cells, Py_ssize_t at, Py_ssize_t size, uint16_t datagram) except -1:
        """Send cells from octet `at` on, `size` octets in each system call; see `bursts.py`."""
        cdef Py_ssize_t end = len(cells), length
        cdef const char* octets = PyBytes_AS_STRING(cells)
        cdef size_t control[4]
        cdef iovec vector
        cdef msghdr message
        cdef cmsghdr* header
        if at < 0 or size <= 0:
            raise ValueError("nothing to send")
        memset(&message, 0, sizeof(message))
        self.error = 0
        message.msg_name = &self._to
        message.msg_namelen = self._to_length
        message.msg_iov = &vector
        message.msg_iovlen = 1
        while at < end:
            length = min(size, end - at)
            vector.iov_base = <void*>(octets + at)
            vector.iov_len = length
            if length > datagram:
                memset(control, 0, sizeof(control))
                message.msg_control = control
                message.msg_controllen = CMSG_SPACE(sizeof(datagram))
                header = CMSG_FIRSTHDR(&message)
                header.cmsg_level = SOL_UDP
                header.cmsg_type = UDP_SEGMENT
                header.cmsg_len = CMSG_LEN(sizeof(datagram))
                memcpy(CMSG_DATA(header), &datagram, sizeof(datagram))
            else:
                message.msg_control = NULL
                message.msg_controllen = 0
            if sendmsg(self._descriptor, &message, MSG_DONTWAIT) < 0:
                if errno == EINTR:
                    continue
                self.error = errno
                break
            at += length
        return at


cdef class FrameBursts:
    """Bursts of a packet socket; see `bursts.py`."""

    cdef int _descriptor
    cdef public int error
    cdef unsigned char* _buffers
    cdef mmsghdr _messages[DATAGRAMS]
    cdef iovec _vectors[DATAGRAMS]

    def __cinit__(self, int descriptor):
        cdef int number
        self._descriptor = descriptor
        self._buffers = <unsigned char*>calloc(DATAGRAMS, FRAME_ROOM)
        if self._buffers == NULL:
            raise MemoryError
        memset(self._messages, 0, sizeof(self._messages))
        for number in range(DATAGRAMS):
            self._messages[number].msg_hdr.msg_iov = &self._vectors[number]
            self._messages[number].msg_hdr.msg_iovlen = 1

    def __dealloc__(self):
        free(self._buffers)

    cpdef list receive(self, int most):
        """Read the frames that wait, at most `most`, each as a record."""
        cdef int number, count, want
        cdef list found = []
        self.error = 0
        while len(found) < most:
            want = min(most - <int>len(found), DATAGRAMS)
            for number in range(want):
                self._vectors[number].iov_base = self._buffers + number * FRAME_ROOM
                self._vectors[number].iov_len = FRAME_ROOM
            count = recvmmsg(self._descriptor, self._messages, want, MSG_DONTWAIT, NULL)
            if count < 0:
                if errno == EINTR:
                    continue
                if errno != EAGAIN:
                    self.error = errno
                break
            for number in range(count):
                found.append(self._record(number))
            if count < want:
                break
        return found

    cdef bytes _record(self, int number):
        cdef uint32_t length = self._messages[number].msg_len, first = htonl(length)
        cdef bytes record = PyBytes_FromStringAndSize(NULL, RECORD_HEADER + length)
        cdef char* octets = PyBytes_AS_STRING(record)
        memcpy(octets, &first, RECORD_HEADER)
        memcpy(octets + RECORD_HEADER, self._vectors[number].iov_base, length)
        return record

    cpdef Py_ssize_t send(self, bytes records, Py_ssize_t at) except -1:
        """Send the frames of records from octet `at` on; see `bursts.py`."""
        cdef Py_ssize_t end = PyBytes_GET_SIZE(records), ahead
        cdef const char* octets = PyBytes_AS_STRING(records)
        cdef int number, count
        cdef uint32_t length
        self.error = 0
        while at < end:
            ahead, count = at, 0
            while count < DATAGRAMS and ahead < end:
                if end - ahead < RECORD_HEADER:
                    raise ValueError("the records end within a length")
                memcpy(&length, octets + ahead, RECORD_HEADER)
                length = htonl(length)
                ahead += RECORD_HEADER
                if <Py_ssize_t>length > end - ahead:
                    raise ValueError("the records end within a frame")
                self._vectors[count].iov_base = <void*>(octets + ahead)
                self._vectors[count].iov_len = length
                ahead += length
                count += 1
            count = sendmmsg(self._descriptor, self._messages, count, MSG_DONTWAIT)
            if count < 0:
                if errno == EINTR:
                    continue
                self.error = errno
                break
            for number in range(count):
                at += RECORD_HEADER + <Py_ssize_t>self._vectors[number].iov_len
        return at

/* What a native loop could reach: the descriptors of a depot or an edge node, moved from one to the other in C alone.
 *
 * Real AAL5 cells (trailer, CRC, HEC in prepared headers), reassembly with its checks, bursts as the real loop makes
 * them. No session table, no states, no timers, no counters: whatever a design of this shape does costs more. `uring`
 * moves the packets of a burst with one io_uring_enter instead of a system call each. See native_loop.py.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "aal5_crc.h"

enum { CELL = 53, HEADER = 5, PAYLOAD = 48, TRAILER = 8, LINKS = 8, BURST = 64, MTU = 2048, TRAIN = 1 << 17, READ = 1 << 16 };

struct link {
    int descriptor;
    unsigned char out[TRAIN];
    size_t filled;
    unsigned char in[READ + MTU * 2]; /* what is left of the last read, then the next */
    size_t left;
};

static struct link links[LINKS];
static int link_count, tun, is_edge, spin_ns;
static size_t datagram;
static unsigned char packets[BURST][MTU];
static ssize_t lengths[BURST];
static unsigned char outgoing[1 << 10][MTU];
static size_t outgoing_lengths[1 << 10];
static int outgoing_count;
static struct io_uring ring;
static int uring;

static unsigned char hec(uint32_t word)
{
    uint32_t rest = word;
    for (int bit = 0; bit < 32; bit++)
        rest = rest << 1 ^ (rest & 0x80000000u ? 0x07000000u : 0);
    return (unsigned char)(rest >> 24) ^ 0x55;
}

static void put_header(unsigned char *cell, uint32_t vpi, uint32_t vci, int last)
{
    uint32_t word = vpi << 20 | vci << 4 | (uint32_t)last << 1;
    cell[0] = (unsigned char)(word >> 24);
    cell[1] = (unsigned char)(word >> 16);
    cell[2] = (unsigned char)(word >> 8);
    cell[3] = (unsigned char)word;
    cell[4] = hec(word);
}

static void flush_link(struct link *link)
{
    for (size_t at = 0; at < link->filled;) {
        size_t most = 65507 / datagram < 64 ? 65507 / datagram : 64;
        size_t size = link->filled - at < most * datagram ? link->filled - at : most * datagram;
        struct iovec part = { link->out + at, size };
        size_t control[4] = { 0 };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
        uint16_t segment = (uint16_t)datagram;
        if (size > datagram) {
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(sizeof segment);
            struct cmsghdr *head = CMSG_FIRSTHDR(&message);
            head->cmsg_level = 17, head->cmsg_type = 103, head->cmsg_len = CMSG_LEN(sizeof segment);
            memcpy(CMSG_DATA(head), &segment, sizeof segment);
        }
        if (sendmsg(link->descriptor, &message, MSG_DONTWAIT) < 0 && errno == EINTR)
            continue;
        at += size;
    }
    link->filled = 0;
}

static void segment(const unsigned char *packet, size_t length)
{
    /* The server by the client's port, the VCI by it, too. A kernel gives its clients every second port only. */
    int at = packet[0] >> 4 == 4 ? (packet[0] & 15) * 4 : 40;
    int port = is_edge ? packet[at + 2] << 8 | packet[at + 3] : packet[at] << 8 | packet[at + 1];
    int number = is_edge ? 0 : port / 2 % link_count;
    struct link *link = &links[number];
    size_t cells = (length + TRAILER + PAYLOAD - 1) / PAYLOAD;
    if (link->filled + cells * CELL > TRAIN)
        flush_link(link);
    unsigned char *cell = link->out + link->filled;
    uint32_t vpi = 1, vci = 64u + (uint32_t)port % 65000u;
    put_header(cell, vpi, vci, cells == 1);
    for (size_t n = 1; n < cells; n++) {
        memcpy(cell + n * CELL, cell, HEADER);
        if (n == cells - 1)
            put_header(cell + n * CELL, vpi, vci, 1);
    }
    for (size_t n = 0; n < cells; n++) {
        size_t from = n * PAYLOAD, size = from < length ? length - from : 0;
        size = size > PAYLOAD ? PAYLOAD : size;
        memcpy(cell + n * CELL + HEADER, packet + from, size);
        memset(cell + n * CELL + HEADER + size, 0, PAYLOAD - size);
    }
    unsigned char *end = cell + cells * CELL;
    end[-6] = (unsigned char)(length >> 8), end[-5] = (unsigned char)length;
    uint32_t crc = ~aal5_by_folding(cell + HEADER, CELL, cells);
    end[-4] = (unsigned char)(crc >> 24), end[-3] = (unsigned char)(crc >> 16), end[-2] = (unsigned char)(crc >> 8);
    end[-1] = (unsigned char)crc;
    link->filled += cells * CELL;
}

static void flush_packets(void)
{
    if (!uring) {
        for (int n = 0; n < outgoing_count; n++)
            while (write(tun, outgoing[n], outgoing_lengths[n]) < 0 && errno == EINTR)
                ;
        outgoing_count = 0;
        return;
    }
    for (int n = 0; n < outgoing_count;) {
        int queued = 0;
        for (struct io_uring_sqe *entry; n < outgoing_count && (entry = io_uring_get_sqe(&ring)); n++, queued++) {
            io_uring_prep_write(entry, tun, outgoing[n], (unsigned)outgoing_lengths[n], 0);
            entry->flags |= IOSQE_IO_LINK * (n + 1 < outgoing_count); /* packets keep their order */
        }
        io_uring_submit_and_wait(&ring, (unsigned)queued);
        io_uring_cq_advance(&ring, io_uring_cq_ready(&ring));
    }
    outgoing_count = 0;
}

static void reassemble(struct link *link)
{
    size_t there = link->left, at = 0, first = 0;
    for (; at + CELL <= there; at += CELL) {
        unsigned char *cell = link->in + at;
        uint32_t word = aal5_get32(cell);
        if (hec(word) != cell[4])
            continue;
        if (!(word & 2))
            continue;
        size_t cells = (at + CELL - first) / CELL;
        size_t length = (size_t)(cell[CELL - 6] << 8 | cell[CELL - 5]);
        unsigned char *payload = link->in + first + HEADER;
        first = at + CELL;
        if (length > MTU || cells * PAYLOAD < length + TRAILER || cells * PAYLOAD >= length + TRAILER + PAYLOAD
            || aal5_by_folding(payload, CELL, cells) != 0xFFFFFFFFu)
            continue;
        if (outgoing_count == 1 << 10)
            flush_packets();
        unsigned char *packet = outgoing[outgoing_count];
        for (size_t n = 0; n * PAYLOAD < length; n++)
            memcpy(packet + n * PAYLOAD, payload + n * CELL,
                   length - n * PAYLOAD < PAYLOAD ? length - n * PAYLOAD : PAYLOAD);
        outgoing_lengths[outgoing_count++] = length;
    }
    link->left = there - first;
    memmove(link->in, link->in + first, link->left);
}

static void from_link(struct link *link)
{
    for (int n = 0; n < 16; n++) {
        ssize_t got = recv(link->descriptor, link->in + link->left, READ, MSG_DONTWAIT);
        if (got <= 0)
            break;
        link->left += (size_t)got;
        reassemble(link);
        if (link->left > MTU * 2)
            link->left = 0;
    }
    flush_packets();
}

static int read_burst(void)
{
    int count = 0;
    if (!uring) {
        while (count < BURST && (lengths[count] = read(tun, packets[count], MTU)) > 0)
            count++;
        return count;
    }
    for (; count < 16; count++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
        io_uring_prep_read(entry, tun, packets[count], MTU, 0);
        entry->rw_flags = RWF_NOWAIT; /* else it would wait for a packet */
        entry->user_data = (uint64_t)count;
    }
    io_uring_submit_and_wait(&ring, (unsigned)count);
    struct io_uring_cqe *done;
    while (io_uring_peek_cqe(&ring, &done) == 0) {
        lengths[done->user_data] = done->res;
        io_uring_cqe_seen(&ring, done);
    }
    return count;
}

static void from_tun(void)
{
    int count = read_burst();
    for (int n = 0; n < count; n++)
        if (lengths[n] >= 40)
            segment(packets[n], (size_t)lengths[n]);
    for (int n = 0; n < link_count; n++)
        flush_link(&links[n]);
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int run(int device, const int *sockets, int count, int cells, int edge, int spin, int with_uring)
{
    struct epoll_event event = { .events = EPOLLIN }, events[16];
    int set = epoll_create1(0), busy = 0;
    aal5_make_tables();
    tun = device, link_count = count, datagram = (size_t)cells * CELL, is_edge = edge, spin_ns = spin;
    uring = with_uring;
    if (uring && io_uring_queue_init(64, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN) < 0)
        return -1;
    event.data.u32 = 0xFFFF;
    epoll_ctl(set, EPOLL_CTL_ADD, tun, &event);
    for (int n = 0; n < count; n++) {
        links[n].descriptor = sockets[n];
        event.data.u32 = (uint32_t)n;
        epoll_ctl(set, EPOLL_CTL_ADD, sockets[n], &event);
    }
    for (;;) {
        int ready = 0;
        if (busy && spin_ns)
            for (long long end = now() + spin_ns; !(ready = epoll_wait(set, events, 16, 0)) && now() < end;)
                sched_yield();
        if (!ready)
            ready = epoll_wait(set, events, 16, -1);
        busy = ready > 0;
        for (int n = 0; n < ready; n++)
            if (events[n].data.u32 == 0xFFFF)
                from_tun();
            else
                from_link(&links[events[n].data.u32]);
    }
}

/* The Internet checksum's sum (RFC 1071 section 2) of octets as 16-bit words in the machine's order, not folded.
 *
 * On x86-64 it adds 32 octets a step: each 32-bit word into a lane of 64 bits, so no carry is lost. Elsewhere it adds 64
 * bits at a time with end-around carry, in two independent sums. A compiler makes vector code of simpler loops only at -O3.
 */

#ifndef ATMDEPOT_INTERNET_SUM_H
#define ATMDEPOT_INTERNET_SUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

/* The 32-bit words of a block, added to two lanes. */
static inline __m128i internet_added(__m128i sums, __m128i block)
{
    const __m128i low = _mm_set1_epi64x(0xFFFFFFFF);
    return _mm_add_epi64(sums, _mm_add_epi64(_mm_and_si128(block, low), _mm_srli_epi64(block, 32)));
}

static inline uint64_t internet_total(__m128i sums)
{
    uint64_t parts[2];
    _mm_storeu_si128((__m128i *)(void *)parts, sums);
    return parts[0] + parts[1];
}
#endif

static inline uint64_t internet_halves(uint64_t total)
{
    return (total & 0xFFFFFFFFu) + (total >> 32);
}

/* Below 2^50, for at most 2^16 octets. */
static uint64_t internet_sum(const unsigned char *at, size_t length)
{
    uint64_t one = 0, other = 0, words[2];
#if defined(__SSE2__)
    if (length >= 32) {
        __m128i first = _mm_setzero_si128(), second = first;
        for (; length >= 32; at += 32, length -= 32) {
            first = internet_added(first, _mm_loadu_si128((const __m128i *)(const void *)at));
            second = internet_added(second, _mm_loadu_si128((const __m128i *)(const void *)(at + 16)));
        }
        one = internet_total(_mm_add_epi64(first, second));
    }
#endif
    for (; length >= 16; at += 16, length -= 16) {
        memcpy(words, at, 16);
        one += words[0];
        one += one < words[0];
        other += words[1];
        other += other < words[1];
    }
    one = internet_halves(one) + internet_halves(other);
    if (length & 8) {
        memcpy(words, at, 8);
        one += internet_halves(words[0]);
        at += 8;
    }
    if (length & 4) {
        uint32_t word;
        memcpy(&word, at, 4);
        one += word;
        at += 4;
    }
    if (length & 3) {
        uint32_t rest = 0;
        if (length & 2)
            memcpy(&rest, at, 2);
        if (length & 1)
            memcpy((unsigned char *)&rest + (length & 2), at + (length & 2), 1);
        one += rest;
    }
    return one;
}

#endif

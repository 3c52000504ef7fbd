/* Payloads of cells copied out of an SDU or together again, and their remainder (see aal5_crc.h) computed in the same
 * pass. Each function has two forms: by carry-less multiplication, for processors that have it, and by tables.
 */

#ifndef ATMDEPOT_AAL5_COPY_H
#define ATMDEPOT_AAL5_COPY_H

#include <string.h>

#include "aal5_crc.h"
#include "internet_sum.h"

enum { AAL5_HEADER = 5, AAL5_CELL = 53 };

/* Write the train of `count` cells: `whole` payloads of the SDU, then those of `tail` (1 or 2), which end with a CRC field
 * of 0. `headers` holds that of all cells but the last, and that of the last. Return the remainder. */
static uint32_t aal5_scattered_by_tables(unsigned char *out, const unsigned char *sdu, size_t whole,
                                         const unsigned char *tail, size_t count, const unsigned char *headers)
{
    unsigned char *cell = out;
    for (size_t n = 0; n < count; n++, cell += AAL5_CELL) {
        memcpy(cell, n + 1 < count ? headers : headers + AAL5_HEADER, AAL5_HEADER);
        memcpy(cell + AAL5_HEADER, n < whole ? sdu + n * AAL5_PAYLOAD : tail + (n - whole) * AAL5_PAYLOAD, AAL5_PAYLOAD);
    }
    return aal5_by_tables(out + AAL5_HEADER, AAL5_CELL, count);
}

/* Copy `count` payloads that lie 53 octets apart to `out`; return the remainder. `*sum` becomes their Internet sum. */
static uint32_t aal5_gathered_by_tables(unsigned char *out, const unsigned char *payload, size_t count, uint64_t *sum)
{
    for (size_t n = 0; n < count; n++)
        memcpy(out + n * AAL5_PAYLOAD, payload + n * AAL5_CELL, AAL5_PAYLOAD);
    *sum = internet_sum(out, count * AAL5_PAYLOAD);
    return aal5_by_tables(out, AAL5_PAYLOAD, count);
}

#if AAL5_MAY_FOLD

typedef struct {
    __m128i first, second, third;
} aal5_payload;

AAL5_FOLDS static inline aal5_payload aal5_loaded(const unsigned char *at)
{
    aal5_payload payload;
    payload.first = _mm_loadu_si128((const __m128i *)(const void *)at);
    payload.second = _mm_loadu_si128((const __m128i *)(const void *)(at + AAL5_BLOCK));
    payload.third = _mm_loadu_si128((const __m128i *)(const void *)(at + 2 * AAL5_BLOCK));
    return payload;
}

AAL5_FOLDS static inline void aal5_store(unsigned char *at, aal5_payload payload)
{
    _mm_storeu_si128((__m128i *)(void *)at, payload.first);
    _mm_storeu_si128((__m128i *)(void *)(at + AAL5_BLOCK), payload.second);
    _mm_storeu_si128((__m128i *)(void *)(at + 2 * AAL5_BLOCK), payload.third);
}

/* The blocks as numbers. */
AAL5_FOLDS static inline aal5_payload aal5_numbers(aal5_payload payload)
{
    const __m128i reversed = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    payload.first = _mm_shuffle_epi8(payload.first, reversed);
    payload.second = _mm_shuffle_epi8(payload.second, reversed);
    payload.third = _mm_shuffle_epi8(payload.third, reversed);
    return payload;
}

/* The payloads so far, folded into the next. */
AAL5_FOLDS static inline aal5_payload aal5_folded(aal5_payload rest, aal5_payload payload)
{
    const __m128i by_384 = _mm_set_epi64x(0x64BF7A9B, 0x8C3828A8);
    payload = aal5_numbers(payload);
    payload.first = _mm_xor_si128(aal5_shifted(rest.first, by_384), payload.first);
    payload.second = _mm_xor_si128(aal5_shifted(rest.second, by_384), payload.second);
    payload.third = _mm_xor_si128(aal5_shifted(rest.third, by_384), payload.third);
    return payload;
}

AAL5_FOLDS static inline aal5_payload aal5_begun(aal5_payload payload)
{
    payload = aal5_numbers(payload);
    payload.first = _mm_xor_si128(payload.first, _mm_set_epi32(-1, 0, 0, 0));
    return payload;
}

AAL5_FOLDS static inline uint32_t aal5_ended(aal5_payload rest)
{
    const __m128i by_128 = _mm_set_epi64x(0xC5B9CD4C, 0xE8A45605);
    rest.second = _mm_xor_si128(aal5_shifted(rest.first, by_128), rest.second);
    return aal5_reduced(_mm_xor_si128(aal5_shifted(rest.second, by_128), rest.third));
}

AAL5_FOLDS static uint32_t aal5_scattered_by_folding(unsigned char *out, const unsigned char *sdu, size_t whole,
                                                     const unsigned char *tail, size_t count,
                                                     const unsigned char *headers)
{
    const unsigned char *from = whole ? sdu : tail;
    aal5_payload payload = aal5_loaded(from), rest = aal5_begun(payload);
    for (size_t n = 1; n < count; n++, out += AAL5_CELL) {
        memcpy(out, headers, AAL5_HEADER);
        aal5_store(out + AAL5_HEADER, payload);
        from = n == whole ? tail : from + AAL5_PAYLOAD;
        payload = aal5_loaded(from);
        rest = aal5_folded(rest, payload);
    }
    memcpy(out, headers + AAL5_HEADER, AAL5_HEADER);
    aal5_store(out + AAL5_HEADER, payload);
    return aal5_ended(rest);
}

AAL5_FOLDS static uint32_t aal5_gathered_by_folding(unsigned char *out, const unsigned char *payload, size_t count,
                                                    uint64_t *sum)
{
    aal5_payload next = aal5_loaded(payload), rest = aal5_begun(next);
    __m128i one = _mm_setzero_si128(), other = one;
    for (;;) {
        aal5_store(out, next);
        one = internet_added(internet_added(one, next.first), next.third);
        other = internet_added(other, next.second);
        if (--count == 0)
            break;
        out += AAL5_PAYLOAD;
        payload += AAL5_CELL;
        next = aal5_loaded(payload);
        rest = aal5_folded(rest, next);
    }
    *sum = internet_total(_mm_add_epi64(one, other));
    return aal5_ended(rest);
}

#else

static uint32_t aal5_scattered_by_folding(unsigned char *out, const unsigned char *sdu, size_t whole,
                                          const unsigned char *tail, size_t count, const unsigned char *headers)
{
    return aal5_scattered_by_tables(out, sdu, whole, tail, count, headers);
}

static uint32_t aal5_gathered_by_folding(unsigned char *out, const unsigned char *payload, size_t count, uint64_t *sum)
{
    return aal5_gathered_by_tables(out, payload, count, sum);
}

#endif

#endif

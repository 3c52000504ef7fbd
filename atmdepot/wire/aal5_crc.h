/* AAL5's CRC-32 over the payloads of cells where they lie (ITU-T I.363.5; polynomial 04C11DB7, most significant bit first).
 *
 * A CPCS-PDU is looked at as a polynomial, its first 32 bits inverted, which is what the initial value FFFFFFFF does. Its
 * remainder tells both: with 0 in the CRC field it is the complement of what belongs there, and of a good PDU it is
 * FFFFFFFF. A payload is three blocks of 16 octets, so a PDU needs no copy: `stride` is 53 in a train of cells, 48 in a
 * PDU.
 *
 * There are two ways: tables, sixteen octets at a time (any processor, any order of octets), and carry-less
 * multiplication (x86-64 with PCLMULQDQ), where the three blocks are folded into those of the next payload.
 */

#ifndef ATMDEPOT_AAL5_CRC_H
#define ATMDEPOT_AAL5_CRC_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define AAL5_MAY_FOLD 1
#include <immintrin.h>
#else
#define AAL5_MAY_FOLD 0
#endif

enum { AAL5_PAYLOAD = 48, AAL5_BLOCK = 16, AAL5_CRC = 4 };

/* table[k][b] is b x^(32 + 8k) mod P. */
static uint32_t aal5_table[AAL5_BLOCK][256];

static void aal5_make_tables(void)
{
    for (uint32_t octet = 0; octet < 256; octet++) {
        uint32_t rest = octet << 24;
        for (int bit = 0; bit < 8; bit++)
            rest = rest << 1 ^ (rest >> 31 ? 0x04C11DB7u : 0);
        aal5_table[0][octet] = rest;
    }
    for (int k = 1; k < AAL5_BLOCK; k++)
        for (int octet = 0; octet < 256; octet++) {
            uint32_t before = aal5_table[k - 1][octet];
            aal5_table[k][octet] = before << 8 ^ aal5_table[0][before >> 24];
        }
}

static inline uint32_t aal5_get32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t aal5_by_tables(const unsigned char *payload, size_t stride, size_t count)
{
    uint32_t rest = 0xFFFFFFFFu;
    for (; count > 0; count--, payload += stride) {
        size_t size = count > 1 ? AAL5_PAYLOAD : AAL5_PAYLOAD - AAL5_CRC;
        size_t at = 0;
        for (; at + AAL5_BLOCK <= size; at += AAL5_BLOCK) {
            uint32_t next = rest ^ aal5_get32(payload + at);
            rest = aal5_table[15][next >> 24] ^ aal5_table[14][next >> 16 & 0xFF]
                 ^ aal5_table[13][next >> 8 & 0xFF] ^ aal5_table[12][next & 0xFF];
            for (size_t n = 4; n < AAL5_BLOCK; n++)
                rest ^= aal5_table[15 - n][payload[at + n]];
        }
        for (; at < size; at++)
            rest = rest << 8 ^ aal5_table[0][rest >> 24 ^ payload[at]];
        if (count == 1)
            rest ^= aal5_get32(payload + size);
    }
    return rest;
}

#if AAL5_MAY_FOLD

#define AAL5_FOLDS __attribute__((target("pclmul,ssse3")))

/* A block as a number: its first octet is the most significant. */
AAL5_FOLDS static inline __m128i aal5_block(const unsigned char *at)
{
    const __m128i reversed = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)at), reversed);
}

/* A block times x^n, but for multiples of P: `powers` holds x^(n + 64) mod P and x^n mod P. */
AAL5_FOLDS static inline __m128i aal5_shifted(__m128i block, __m128i powers)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(block, powers, 0x11), _mm_clmulepi64_si128(block, powers, 0x00));
}

/* 128 bits mod P: to 96 bits, to 64, and then Barrett's way; the factor is x^64 divided by P. */
AAL5_FOLDS static inline uint32_t aal5_reduced(__m128i block)
{
    const __m128i x64 = _mm_set_epi64x(0, 0x490D678D);
    const __m128i barrett = _mm_set_epi64x(0x104C11DB7, 0x104D101DF);
    const __m128i low_half = _mm_set_epi64x(0, -1);
    block = _mm_xor_si128(_mm_clmulepi64_si128(block, x64, 0x01), _mm_and_si128(block, low_half));
    block = _mm_xor_si128(_mm_clmulepi64_si128(block, x64, 0x01), _mm_and_si128(block, low_half));
    __m128i quotient = _mm_srli_epi64(_mm_clmulepi64_si128(_mm_srli_epi64(block, 32), barrett, 0x00), 32);
    return (uint32_t)_mm_cvtsi128_si32(_mm_xor_si128(block, _mm_clmulepi64_si128(quotient, barrett, 0x10)));
}

AAL5_FOLDS static uint32_t aal5_by_folding(const unsigned char *payload, size_t stride, size_t count)
{
    const __m128i by_384 = _mm_set_epi64x(0x64BF7A9B, 0x8C3828A8);
    const __m128i by_128 = _mm_set_epi64x(0xC5B9CD4C, 0xE8A45605);
    const __m128i initial = _mm_set_epi32(-1, 0, 0, 0);
    __m128i first = _mm_xor_si128(aal5_block(payload), initial);
    __m128i second = aal5_block(payload + AAL5_BLOCK);
    __m128i third = aal5_block(payload + 2 * AAL5_BLOCK);
    while (--count > 0) {
        payload += stride;
        first = _mm_xor_si128(aal5_shifted(first, by_384), aal5_block(payload));
        second = _mm_xor_si128(aal5_shifted(second, by_384), aal5_block(payload + AAL5_BLOCK));
        third = _mm_xor_si128(aal5_shifted(third, by_384), aal5_block(payload + 2 * AAL5_BLOCK));
    }
    second = _mm_xor_si128(aal5_shifted(first, by_128), second);
    return aal5_reduced(_mm_xor_si128(aal5_shifted(second, by_128), third));
}

static int aal5_can_fold(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3");
}

#else

static uint32_t aal5_by_folding(const unsigned char *payload, size_t stride, size_t count)
{
    return aal5_by_tables(payload, stride, count);
}

static int aal5_can_fold(void)
{
    return 0;
}

#endif

#endif

#ifndef SORTIE_STORE_CRC32C_H
#define SORTIE_STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4). Start with 0 and pass the last
 * value on: crc32c(crc32c(0, a), b) is the sum of a followed by b.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/* The same without the processor's instruction; for tests. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

#endif

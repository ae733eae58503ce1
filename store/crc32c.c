#include "store/crc32c.h"

#include <pthread.h>
#include <string.h>

/*
 * The processor's crc32 instruction where it has one (8 octets in 3 cycles),
 * else a table of 256 entries. It finds damage on the disk; it proves nothing
 * against somebody who wants to forge a record.
 */

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void
make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++) {
			c = (c & 1) != 0 ? (c >> 1) ^ POLYNOMIAL : c >> 1;
		}
		table[i] = c;
	}
}

uint32_t
crc32c_table(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *p = data;

	pthread_once(&table_once, make_table);
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc = table[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
	}
	return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t wide = ~crc;
	uint32_t narrow;

	while (len >= 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		wide = __builtin_ia32_crc32di(wide, word);
		p += 8;
		len -= 8;
	}
	narrow = (uint32_t)wide;
	while (len > 0) {
		narrow = __builtin_ia32_crc32qi(narrow, *p);
		p++;
		len--;
	}
	return ~narrow;
}

uint32_t
crc32c(uint32_t crc, const void *data, size_t len)
{
	if (__builtin_cpu_supports("sse4.2")) {
		return crc32c_sse42(crc, data, len);
	}
	return crc32c_table(crc, data, len);
}

#else

uint32_t
crc32c(uint32_t crc, const void *data, size_t len)
{
	return crc32c_table(crc, data, len);
}

#endif

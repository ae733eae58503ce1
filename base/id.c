/*
 * Identifiers: 42 bits of wall milliseconds (until 2109) above 21 random
 * bits. An id that would not be above the last one becomes the last one plus
 * a random step, so that order, uniqueness and some surprise hold through
 * bursts and clock steps. Not a secret: what must not be guessed at all
 * takes id_random.
 */
#include "base/id.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

#define RANDOM_BITS 21
#define RANDOM_MASK ((UINT64_C(1) << RANDOM_BITS) - 1)
#define STEP_MASK   0x3f
#define ID_MAX      (UINT64_C(0x7fffffffffffffff))

static _Atomic uint64_t last_id;

/* A pool per thread: one system call serves a hundred ids. */
static _Thread_local struct {
	unsigned char bytes[512];
	size_t left;
} pool;

static void
fill_random(void *out, size_t len)
{
	unsigned char *p = out;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n == -1 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			abort(); /* no entropy: nothing safe to go on with */
		}
		p += n;
		len -= (size_t)n;
	}
}

void
id_random(void *out, size_t len)
{
	unsigned char *from;

	if (len > sizeof(pool.bytes) / 4) {
		fill_random(out, len);
		return;
	}
	if (pool.left < len) {
		fill_random(pool.bytes, sizeof(pool.bytes));
		pool.left = sizeof(pool.bytes);
	}
	/* What was given out must not lie about to be given out again. */
	pool.left -= len;
	from = pool.bytes + pool.left;
	memcpy(out, from, len);
	memset(from, 0, len);
}

uint64_t
id_new(void)
{
	uint64_t last = atomic_load_explicit(&last_id, memory_order_relaxed);
	uint64_t now = (uint64_t)clock_wall_ms();
	uint32_t noise;
	uint64_t id;

	id_random(&noise, sizeof(noise));
	do {
		id = (now << RANDOM_BITS & ID_MAX) | (noise & RANDOM_MASK);
		if (id <= last) {
			id = last + 1 + (noise >> RANDOM_BITS & STEP_MASK);
		}
		if (id > ID_MAX) {
			abort(); /* a floor at the end of all ids */
		}
	} while (!atomic_compare_exchange_weak_explicit(&last_id, &last, id,
	                                                memory_order_relaxed,
	                                                memory_order_relaxed));
	return id;
}

void
id_floor(uint64_t id)
{
	uint64_t last = atomic_load_explicit(&last_id, memory_order_relaxed);

	while (last < id && !atomic_compare_exchange_weak_explicit(
				    &last_id, &last, id, memory_order_relaxed,
				    memory_order_relaxed)) {
	}
}

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void
id_format(uint64_t id, char out[ID_TEXT_MAX])
{
	int i;

	for (i = ID_TEXT_LEN - 1; i >= 0; i--) {
		out[i] = digits[id & 31];
		id >>= 5;
	}
	out[ID_TEXT_LEN] = '\0';
}

static int
digit_value(char c)
{
	const char *p;

	if (c >= 'a' && c <= 'z') {
		c = (char)(c - 'a' + 'A');
	}
	p = c == '\0' ? NULL : strchr(digits, c);
	return p == NULL ? -1 : (int)(p - digits);
}

int
id_parse(const char *s, uint64_t *id_r)
{
	uint64_t id = 0;
	int i;

	for (i = 0; i < ID_TEXT_LEN; i++) {
		int v = digit_value(s[i]);

		/* 13 digits are 65 bits: the first one holds three. */
		if (v == -1 || (i == 0 && v > 7)) {
			return -1;
		}
		id = id << 5 | (uint64_t)v;
	}
	if (s[ID_TEXT_LEN] != '\0' || id == 0) {
		return -1;
	}
	*id_r = id;
	return 0;
}

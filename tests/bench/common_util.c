/*
 * Clock, numbers, percentiles. Any mistake of the caller ends the program with
 * status 2: these are tools for a script, not servers.
 */
#include "tests/bench/common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

int64_t
now_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1) {
		die("clock_gettime");
	}
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

double
cpu_seconds(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) == -1) {
		die("getrusage");
	}
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void
die(const char *what)
{
	if (errno != 0) {
		perror(what);
	} else {
		(void)fprintf(stderr, "%s\n", what);
	}
	exit(2);
}

void *
must(void *allocated)
{
	if (allocated == NULL) {
		die("out of memory");
	}
	return allocated;
}

uint64_t
hash_bytes(uint64_t h, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		h = (h ^ (uint8_t)data[i]) * 0x100000001b3u;
	}
	return h;
}

void
samples_add(struct samples *s, int64_t us)
{
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 65536 : s->cap * 2;
		s->value =
			must(reallocarray(s->value, s->cap, sizeof *s->value));
	}
	s->value[s->n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int
by_value(const void *a, const void *b)
{
	const uint32_t *x = a;
	const uint32_t *y = b;

	return (*x > *y) - (*x < *y);
}

void
samples_sort(struct samples *s)
{
	if (s->n > 0) {
		qsort(s->value, s->n, sizeof *s->value, by_value);
	}
}

double
samples_rank_ms(const struct samples *s, double rank)
{
	if (s->n == 0) {
		return 0;
	}
	return (double)s->value[(size_t)(rank * (double)(s->n - 1))] / 1000;
}

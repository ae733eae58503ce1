/*
 * Stands before libopendkim's dkim_init in unit tests and fuzz targets: what
 * the library takes gets a known end, looked at when it is given back. The
 * library has no checks built in, so a step beyond its memory does not show
 * otherwise, or shows later as something else.
 */
#include <dkim.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dkim/memory.h"
#include "tests/unit/common_need.h"

#define END_SIZE 32
#define END_FILL 0xa5

typedef void *take_cb(void *closure, size_t size);
typedef void give_cb(void *closure, void *p);
typedef DKIM_LIB *init_cb(take_cb *take, give_cb *give);

union start {
	size_t size;
	max_align_t align;
};

static void *
fence(union start *s, size_t size)
{
	if (s == NULL) {
		return NULL;
	}
	s->size = size;
	memset((char *)(s + 1) + size, END_FILL, END_SIZE);
	return s + 1;
}

static union start *
check(void *p)
{
	union start *s = (union start *)p - 1;
	const uint8_t *end = (const uint8_t *)p + s->size;

	for (size_t i = 0; i < END_SIZE; i++) {
		NEED(end[i] == END_FILL);
	}
	return s;
}

static void *
take_system(void *closure, size_t size)
{
	(void)closure;
	return fence(malloc(sizeof(union start) + size + END_SIZE), size);
}

static void
give_system(void *closure, void *p)
{
	(void)closure;
	if (p != NULL) {
		free(check(p));
	}
}

static void *
take_ours(void *closure, size_t size)
{
	return fence(
		memory_take(closure, sizeof(union start) + size + END_SIZE),
		size);
}

static void
give_ours(void *closure, void *p)
{
	if (p != NULL) {
		memory_give(closure, check(p));
	}
}

DKIM_LIB *
dkim_init(take_cb *take, give_cb *give)
{
	init_cb *original = NULL;

	/* POSIX promises what ISO C does not: that this cast is good. */
	*(void **)&original = dlsym(RTLD_NEXT, "dkim_init");
	NEED(original != NULL);
	if (take == NULL) {
		return original(take_system, give_system);
	}
	NEED(take == memory_take && give == memory_give);
	return original(take_ours, give_ours);
}

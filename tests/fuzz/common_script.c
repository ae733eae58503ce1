/*
 * Inputs that play one side of a connection: see the header.
 */
#include "tests/fuzz/common_script.h"

#define EVENT 0xfe

struct buf script_pending;

bool
script_next(const uint8_t **data, size_t *size, uint8_t *event_r)
{
	const uint8_t *s = *data;
	size_t n = 0;
	bool found;

	while (n < *size && (s[n] != EVENT || n + 1 == *size)) {
		n++;
	}
	if (n > 0) {
		buf_add(&script_pending, s, n);
	}
	found = n < *size;
	if (found) {
		*event_r = s[n + 1];
		n += 2;
	}
	*data += n;
	*size -= n;
	return found;
}

static void
stop(void)
{
	buf_clear(&script_pending);
	script_stop();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc; /* libFuzzer's type */
	(void)argv;
	buf_init(&script_pending, SCRIPT_MAX);
	script_start();
	return atexit(stop);
}

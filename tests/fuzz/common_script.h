#ifndef SORTIE_TESTS_FUZZ_COMMON_SCRIPT_H
#define SORTIE_TESTS_FUZZ_COMMON_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

/*
 * The input of targets that play one side of a connection: octets to say, but
 * 0xfe and a letter is an event. A target defines script_start and
 * script_stop, which libFuzzer's first call and the program's end lead to.
 */

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			(void)fprintf(stderr, "line %d: %s\n", __LINE__,       \
			              #condition);                             \
			abort();                                               \
		}                                                              \
	} while (0)

#define SCRIPT_MAX 8192 /* octets of an input */

/* What is said with the next event. Holds a whole input. */
extern struct buf script_pending;

void script_start(void);
void script_stop(void);

/* Takes octets off the input, up to the next event; false: it has ended. */
bool script_next(const uint8_t **data, size_t *size, uint8_t *event_r);

#endif

#ifndef SORTIE_TESTS_UNIT_COMMON_NEED_H
#define SORTIE_TESTS_UNIT_COMMON_NEED_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What a test's surroundings rely on: when it does not hold, the machine or
 * the test itself is at fault, and the program ends. Needs no test framework.
 */
#define NEED(condition)                                                        \
	do {                                                                   \
		if (!(condition)) {                                            \
			(void)fprintf(stderr, "%s:%d: %s (errno %d)\n",        \
			              __FILE__, __LINE__, #condition, errno);  \
			abort();                                               \
		}                                                              \
	} while (0)

#endif

#ifndef SORTIE_TESTS_FUZZ_COMMON_CHECK_H
#define SORTIE_TESTS_FUZZ_COMMON_CHECK_H

#include <stdlib.h>

/* What must hold for every input: unlike assert, in every build. */
#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			abort();                                               \
		}                                                              \
	} while (0)

#endif

#ifndef SORTIE_DKIM_LIBRARY_H
#define SORTIE_DKIM_LIBRARY_H

#include <stdbool.h>

#include "base/err.h"
#include "dkim/key.h"

/*
 * What the libopendkim at hand does with the keys that it is given, found out
 * once by signing with keys whose end can be seen.
 */
struct library_facts {
	bool cached; /* it signs with decoded keys, see key_cache.c */
	/* References that it keeps of a key of each algorithm when it should
	 * have given back all: 0, or 1 (Ed25519 with 2.11.0~beta2). */
	unsigned kept[2];
	struct err why; /* not cached: what happened */
};

/* The first call tries it; any thread. */
const struct library_facts *library_facts(void);

#endif

#ifndef SORTIE_TESTS_UNIT_COMMON_STATIONERY_H
#define SORTIE_TESTS_UNIT_COMMON_STATIONERY_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/policy.h"
#include "policy/layout.h"
#include "policy/stationery.h"

/*
 * A layout without files, for tests that are about what is done with it: a
 * banner above, a footer with the unique text and an image below. Needs no
 * test framework.
 */

#define COMMON_UNIQUE "Example Ltd, registered in England 0123456"
#define COMMON_BANNER "External mail of Example"

struct common_stationery {
	struct layout layout;
	struct conf_layout conf;
	struct layout_image image;
	char folded[100];
};

enum common_form {
	COMMON_HTML = 1,
	COMMON_TEXT = 2,
	COMMON_ABOVE = 4,
	COMMON_IMAGE = 8,
	COMMON_PLAIN_BELOW = 16, /* without non-ASCII text */
};

void common_stationery_init(struct common_stationery *s, unsigned forms);
void common_stationery_clear(struct common_stationery *s);

/* Renders; the result as one piece in *out (the message itself when nothing
 * was applied), which the caller clears. */
enum stationery_outcome common_stationery_render(
	const struct common_stationery *s, const char *msg, size_t len,
	struct buf *out, char why[200]);

#endif

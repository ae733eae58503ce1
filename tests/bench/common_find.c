/*
 * A text in what comes piece by piece.
 */
#include <string.h>

#include "tests/bench/common.h"

void
finder_put(struct finder *f, const char *text, const char *data, size_t len)
{
	size_t text_len = strlen(text);
	size_t n = len < text_len ? len : text_len;
	char seam[2 * FIND_MAX];

	if (f->found) {
		return;
	}
	memcpy(seam, f->behind, f->behind_len);
	memcpy(seam + f->behind_len, data, n);
	n += f->behind_len;
	f->found = memmem(data, len, text, text_len) != NULL ||
	           memmem(seam, n, text, text_len) != NULL;
	if (len >= text_len) {
		f->behind_len = text_len - 1;
		memcpy(f->behind, data + len - f->behind_len, f->behind_len);
	} else {
		f->behind_len = n < text_len ? n : text_len - 1;
		memcpy(f->behind, seam + n - f->behind_len, f->behind_len);
	}
}

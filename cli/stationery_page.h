#ifndef SORTIE_CLI_STATIONERY_PAGE_H
#define SORTIE_CLI_STATIONERY_PAGE_H

#include <stddef.h>

#include "base/buf.h"

/* A page that shows a message as people see it, before and after. */

struct stationery_page {
	const char *title; /* the layout's name */
	const char *said;  /* "applied: html, text" */
	const char *before;
	size_t before_len;
	const char *after;
	size_t after_len;
};

/* HTML by itself: nothing in it is fetched from anywhere, no script of the
 * message runs. -1: over out's maximum. */
int stationery_page(const struct stationery_page *p, struct buf *out)
	__attribute__((warn_unused_result));

#endif

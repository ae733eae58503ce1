#ifndef SORTIE_DKIM_TAG_LIST_H
#define SORTIE_DKIM_TAG_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lists of tag=value (RFC 6376 section 3.2), as signatures and key records
 * have them. Pure; any octets are safe. What is found points into the text.
 */

#define TAG_LIST_MAX 64 /* tags; the RFCs name thirteen */

struct tag {
	const char *name;
	size_t name_len;
	const char *value; /* without white space around; maybe within */
	size_t value_len;
};

struct tag_list {
	size_t n;
	struct tag tags[TAG_LIST_MAX];
};

/* false: it is no such list, or one tag is there twice; *why_r says why. utf8:
 * values may have other than ASCII (RFC 8616). */
bool tag_list_parse(const char *s, size_t len, bool utf8, struct tag_list *out,
                    const char **why_r);

/* NULL: it is not there. */
const struct tag *tag_list_find(const struct tag_list *l, const char *name);

bool tag_is(const struct tag *t, const char *value);

/* The next item of a list that colons separate, from *at on; false: no more.
 * White space around it is left out. An empty item is an item. */
bool tag_item(const struct tag *t, size_t *at, const char **item_r,
              size_t *len_r);
/* Is there an item that says so? */
bool tag_has(const struct tag *t, const char *item);

/* White space within is skipped. The octets written, or -1: not base64 with
 * its padding, or more than cap. */
long tag_base64(const struct tag *t, uint8_t *out, size_t cap);

#endif

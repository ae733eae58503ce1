/*
 * Passes over what means nothing.
 */
#include "mime/cfws.h"

bool
cfws_skip(struct cfws_cursor *c)
{
	unsigned depth = 0;

	while (c->p < c->end) {
		if (*c->p == '(') {
			depth++;
		} else if (depth == 0 && !cfws_is_blank(*c->p)) {
			return true;
		} else if (*c->p == ')') {
			depth--;
		} else if (*c->p == '\\' && c->p + 1 < c->end) {
			c->p++;
		}
		c->p++;
	}
	return depth == 0;
}

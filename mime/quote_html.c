/* The thread in an HTML reply. */
#include "mime/quote.h"

bool
quote_find_html(const char *html, size_t len, size_t *at_r)
{
	(void)html;
	(void)len;
	(void)at_r;
	return false;
}

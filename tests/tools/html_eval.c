/*
 * Tells tests in Python what mime/html makes of a page: reads "LENGTH\n" and
 * the page, answers with a line of numbers (top, bottom, length of the tags
 * that close, of the reason, of the visible text) and these texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mime/html.h"

static void
answer(const char *html, size_t len)
{
	struct html_places places;
	const char *why;
	struct buf text;

	html_find_places(html, len, &places);
	why = places.why != NULL ? places.why : "";
	buf_init(&text, 3 * len + 16);
	if (html_visible_text(html, len, &text) == -1) {
		abort();
	}
	(void)printf("%zu %zu %zu %zu %zu\n%s%s", places.top, places.bottom,
	             strlen(places.closing), strlen(why), buf_len(&text),
	             places.closing, why);
	(void)fwrite(buf_ptr(&text), 1, buf_len(&text), stdout);
	(void)fflush(stdout);
	buf_clear(&text);
}

int
main(void)
{
	char line[32];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		size_t len = strtoul(line, NULL, 10);
		char *html = mem_alloc(len + 1);

		if (fread(html, 1, len, stdin) != len) {
			return 1;
		}
		answer(html, len);
		free(html);
	}
	return 0;
}

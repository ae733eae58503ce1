/*
 * Where the thread begins, asked from outside: "text LENGTH" or "html LENGTH"
 * and that many octets on standard input, over and over; each answer is a
 * line, the offset or "none".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mime/quote.h"

int
main(void)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *end = NULL;
		size_t len = strtoul(line + 5, &end, 10);
		char *text = mem_alloc(len + 1);
		size_t at = 0;
		bool found = false;

		if (fread(text, 1, len, stdin) != len) {
			return EXIT_FAILURE;
		}
		found = line[0] == 'h' ? quote_find_html(text, len, &at)
		                       : quote_find_text(text, len, &at);
		if (found) {
			printf("%zu\n", at);
		} else {
			puts("none");
		}
		(void)fflush(stdout);
		free(text);
	}
	return EXIT_SUCCESS;
}

/*
 * What tests in Python ask of RTF and TNEF:
 *
 *   tnef_tool edit|text|rtf_edit|rtf_text|compress|decompress
 *             [ABOVE BELOW [thread]]
 *
 * The input is standard input, what comes of it goes to standard output; why
 * not goes to standard error, with status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mime/rtf.h"
#include "mime/tnef.h"

#define INPUT_MAX ((size_t)64 << 20)

static int
run(const char *what, const struct buf *input, const struct rtf_insert *in,
    struct buf *out, struct err *e)
{
	const char *data = buf_ptr(input);
	size_t len = buf_len(input);

	if (strcmp(what, "edit") == 0) {
		return tnef_edit(data, len, in, out, e);
	}
	if (strcmp(what, "text") == 0) {
		return tnef_visible_text(data, len, out, e);
	}
	if (strcmp(what, "rtf_edit") == 0) {
		return rtf_edit(data, len, in, out, e);
	}
	if (strcmp(what, "rtf_text") == 0) {
		return rtf_visible_text(data, len, out);
	}
	if (strcmp(what, "compress") == 0) {
		return tnef_rtf_compress(data, len, out);
	}
	if (strcmp(what, "decompress") == 0) {
		return tnef_rtf_decompress(data, len, INPUT_MAX, out, e);
	}
	return err_set(e, ERR_INVALID, "what is %s?", what);
}

int
main(int argc, char **argv)
{
	struct rtf_insert in = { 0 };
	struct err e = { 0 };
	struct buf input;
	struct buf out;
	int status = 1;

	if (argc != 2 && argc != 4 && argc != 5) {
		(void)fputs("tnef_tool: see its source\n", stderr);
		return 2;
	}
	if (argc >= 4) {
		in.above = argv[2][0] != '\0' ? argv[2] : NULL;
		in.above_len = strlen(argv[2]);
		in.below = argv[3][0] != '\0' ? argv[3] : NULL;
		in.below_len = strlen(argv[3]);
		in.before_thread = argc == 5;
	}
	buf_init(&input, INPUT_MAX);
	buf_init(&out, 4 * INPUT_MAX);
	for (;;) {
		char *room = buf_reserve(&input, 65536);
		size_t n = room != NULL ? fread(room, 1, 65536, stdin) : 0;

		if (n == 0) {
			break;
		}
		buf_commit(&input, n);
	}
	if (run(argv[1], &input, &in, &out, &e) != 0) {
		(void)fprintf(stderr, "%s\n", e.text);
	} else if (fwrite(buf_ptr(&out), 1, buf_len(&out), stdout) ==
	           buf_len(&out)) {
		status = 0;
	}
	buf_clear(&input);
	buf_clear(&out);
	return status;
}

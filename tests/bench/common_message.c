/*
 * The message that the generator sends, from its Content-Type field on to the
 * final dot, as it stands on the wire.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/common.h"

#define LINE_OCTETS 72 /* of the body */

static const char plain[] = "Content-Type: text/plain; charset=us-ascii\r\n"
			    "\r\n";
static const char both[] =
	"Content-Type: multipart/alternative; boundary=\"=_bench\"\r\n"
	"\r\n"
	"--=_bench\r\n"
	"Content-Type: text/plain; charset=us-ascii\r\n"
	"\r\n";
static const char between[] = "--=_bench\r\n"
			      "Content-Type: text/html; charset=us-ascii\r\n"
			      "\r\n"
			      "<html><head><title>A message</title></head>\r\n"
			      "<body class=\"plain\"><p>\r\n";
static const char behind[] = "</p></body></html>\r\n"
			     "--=_bench--\r\n";

static char *
put(char *p, const char *text)
{
	size_t len = strlen(text);

	memcpy(p, text, len);
	return p + len;
}

/* Lines of a fixed length; some begin with a dot, which SMTP doubles. */
static char *
put_lines(char *p, size_t size)
{
	size_t n = 0;

	for (size_t line = 0; n < size; line++) {
		size_t len = size - n;

		if (len > LINE_OCTETS) {
			len = LINE_OCTETS;
		}
		for (size_t i = 0; i < len; i++) {
			*p++ = (char)('a' + (line + i) % 26);
		}
		if (line % 16 == 3 && len > 1) {
			p[-(long)len] = '.';
			p[-(long)len + 1] = '.';
		}
		n += len + 2;
		*p++ = '\r';
		*p++ = '\n';
	}
	return p;
}

char *
message_body(size_t size, bool alternative, size_t *len_r)
{
	char *body = must(malloc(size + size / LINE_OCTETS + 1024));
	char *p = put(body, alternative ? both : plain);

	if (alternative) {
		p = put_lines(p, size / 2);
		p = put(p, between);
		p = put_lines(p, size - size / 2);
		p = put(p, behind);
	} else {
		p = put_lines(p, size);
	}
	p = put(p, ".\r\n");
	*len_r = (size_t)(p - body);
	return body;
}

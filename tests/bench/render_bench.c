#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/buf.h"
#include "tests/unit/common_stationery.h"

/*
 * What it costs to put stationery round a message: HTML of 10 KB and of 25 MB,
 * 25 MB of attachment behind a short text, 10,000 parts. Prints processor time
 * of the fastest of several runs. Usage:
 *
 *	render_bench [RUNS]
 *
 * It measures; it judges nothing.
 */

#define HEADER                                                                 \
	"From: Ann Example <ann@example.com>\r\n"                              \
	"To: bob@example.net\r\nSubject: figures\r\n"                          \
	"MIME-Version: 1.0\r\n"

static double
cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Paragraphs in tables with styles and links, as newsletters have them. */
static void
put_html(struct buf *out, size_t size)
{
	size_t begin = buf_len(out);

	buf_puts(out, "<html><head><style>p { margin: 0 }</style></head>"
	              "<body bgcolor=\"#ffffff\">\r\n");
	for (unsigned i = 0; buf_len(out) - begin < size; i++) {
		buf_addf(out,
		         "<table width=\"600\"><tr><td style=\"font-family:"
		         "Arial;font-size:14px\">\r\n<p class=\"a\">Row %u of "
		         "the figures that you asked for; more of them "
		         "<a href=\"https://www.example.com/%u\">here</a>"
		         " &amp; there.</p>\r\n</td></tr></table>\r\n",
		         i, i);
	}
	buf_puts(out, "</body></html>\r\n");
}

static void
put_attachment(struct buf *out, size_t size)
{
	buf_puts(out, HEADER "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	                     "--b\r\nContent-Type: text/plain\r\n\r\n"
	                     "see the file\r\n--b\r\n"
	                     "Content-Type: application/octet-stream\r\n"
	                     "Content-Transfer-Encoding: base64\r\n\r\n");
	while (buf_len(out) < size) {
		buf_puts(out, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlq"
		              "a2xtbm9wcXJzdHV2d3h5ejAx\r\n");
	}
	buf_puts(out, "\r\n--b--\r\n");
}

static void
put_parts(struct buf *out, const char *type)
{
	buf_puts(out, HEADER "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	                     "--b\r\n\r\nhello\r\n");
	for (unsigned i = 0; i < 9990; i++) {
		buf_addf(out, "--b\r\nContent-Type: %s\r\n\r\n%u\r\n", type, i);
	}
	buf_puts(out, "--b--\r\n");
}

static void
measure(const char *name, const struct buf *msg, unsigned forms, unsigned runs)
{
	enum stationery_outcome got = STATIONERY_FAILED;
	struct common_stationery s;
	double best = 1e9;
	char why[200] = "";
	struct rusage use;

	common_stationery_init(&s, forms);
	for (unsigned i = 0; i < runs; i++) {
		struct stationery_result r;
		double start = cpu_s();

		stationery_render(
			&(struct stationery_input){
				.msg = buf_ptr(msg),
				.len = buf_len(msg),
				.layout = &s.layout,
				.sender = "ann@example.com",
				.id = 0x1234567890abcdef,
				.host = "gw.example.net",
			},
			&r);
		start = cpu_s() - start;
		best = start < best ? start : best;
		got = r.outcome;
		memcpy(why, r.why, sizeof(r.why));
		stationery_result_clear(&r);
	}
	common_stationery_clear(&s);
	getrusage(RUSAGE_SELF, &use);
	(void)printf("%-28s %10zu octets %10.1f us, peak %ld MB (%s: %s)\n",
	             name, buf_len(msg), best * 1e6, use.ru_maxrss / 1024,
	             stationery_outcome_word(got), why);
}

int
main(int argc, char **argv)
{
	unsigned runs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
	const unsigned forms = COMMON_HTML | COMMON_TEXT | COMMON_ABOVE;
	struct buf msg;

	buf_init(&msg, (size_t)1 << 30);
	buf_puts(&msg, HEADER "Content-Type: text/html; charset=utf-8\r\n\r\n");
	put_html(&msg, 10000);
	measure("HTML", &msg, forms, runs * 100);
	measure("HTML, with an image", &msg, forms | COMMON_IMAGE, runs * 100);
	buf_reset(&msg, 0);
	put_attachment(&msg, 5000);
	measure("text and a short file", &msg, forms, runs * 100);
	buf_reset(&msg, 0);
	put_attachment(&msg, 25000000);
	measure("text and a long file", &msg, forms, runs);
	buf_reset(&msg, 0);
	put_parts(&msg, "application/octet-stream");
	measure("10,000 files", &msg, forms, runs);
	buf_reset(&msg, 0);
	put_parts(&msg, "text/plain");
	measure("10,000 texts", &msg, forms, runs);
	buf_reset(&msg, 0);
	for (size_t size = 3125000; size <= 25000000; size *= 2) {
		buf_reset(&msg, 0);
		buf_puts(&msg, HEADER "Content-Type: text/html\r\n\r\n");
		put_html(&msg, size);
		measure("long HTML", &msg, forms, runs / 10 + 1);
	}
	buf_clear(&msg);
	return 0;
}

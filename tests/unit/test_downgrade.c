/*
 * 8-bit content toward a 7-bit hop: the scanner, each rule of conversion, and
 * real mail (checklist B31, B32, C47, C78, C79, C80).
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mime/downgrade.h"
#include "mime/encode.h"
#include "mime/structure.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define V        "MIME-Version: 1.0\r\n"
#define CT       "Content-Type: "
#define CTE      "Content-Transfer-Encoding: "
#define MIXED(b) CT "multipart/mixed; boundary=" b "\r\n"

static void
scan(const char *msg, size_t len, size_t step, struct downgrade_scan *s)
{
	downgrade_scan_init(s);
	for (size_t i = 0; i < len; i += step) {
		downgrade_scan_update(s, msg + i,
		                      len - i < step ? len - i : step);
	}
	downgrade_scan_finish(s);
}

struct scan_case {
	const char *text;
	const char *flags; /* h: header, b: body, r: bare CR or LF */
	size_t longest;
};

static void
expect_scan(const struct scan_case *c, const struct downgrade_scan *s)
{
	assert_int_equal(s->has_8bit_header, strchr(c->flags, 'h') != NULL);
	assert_int_equal(s->has_8bit_body, strchr(c->flags, 'b') != NULL);
	assert_int_equal(s->has_bare, strchr(c->flags, 'r') != NULL);
	assert_false(s->has_nul);
	assert_int_equal(s->longest, c->longest);
	assert_int_equal(downgrade_scan_is_7bit(s), c->flags[0] == '\0');
}

static void
scans_in_any_chunks(void **state)
{
	static const struct scan_case cases[] = {
		{ "", "", 0 },
		{ "A: b\r\n\r\nbody\r\n", "", 4 },
		{ "A: b\r\n\r\nbod\xc3\xbf\r\n", "b", 5 },
		{ "A: \xff\r\n\r\nbody\r\n", "h", 4 },
		{ "A: \xff\r\n\r\n\x80", "hb", 4 },
		{ "\r\n\x80\r\n", "b", 1 },
		{ "\x80", "h", 1 },
		{ "A: b\r\n", "", 4 },
		{ "A\nB", "r", 1 },
		{ "A\rB", "r", 3 },
		{ "A\r", "r", 1 },
		{ "\n", "r", 0 },
		{ "A: b\r\n\r\r\n", "r", 4 },
		{ "A: b\r\n\r\n0123456789012345678901234567890123456789"
		  "0123456789012345678901234567890123456789\r\n\r\n"
		  "0123456789\xe4\r\n",
		  "b", 80 },
		{ "A: 0123456789012345678901234567890123456789012345678901234"
		  "567\r\n\r\n\xe4",
		  "b", 61 },
	};
	static const char nul[] = "A: b\r\n\r\n\0\r\n";
	struct downgrade_scan s;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t step = 1; step <= len + 1; step++) {
			scan(cases[i].text, len, step, &s);
			expect_scan(&cases[i], &s);
		}
	}
	scan(nul, sizeof(nul) - 1, 3, &s);
	assert_true(s.has_nul && !downgrade_scan_is_7bit(&s));
}

/* The limit is 998 octets without the line end, wherever the line lies. */
static void
scan_measures_lines(void **state)
{
	(void)state;
	for (size_t n = 996; n < 1002; n++) {
		for (size_t step = 60; step < 70; step++) {
			struct downgrade_scan s;
			char text[2000] = "A: b\r\n\r\n";

			memset(text + 8, 'x', n);
			memcpy(text + 8 + n, "\r\ny\r\n", 6);
			scan(text, strlen(text), step, &s);
			assert_int_equal(s.longest, n);
			assert_int_equal(downgrade_scan_is_7bit(&s),
			                 n <= DOWNGRADE_LINE_MAX);
		}
	}
}

/* Hot path: at least 1 GB/s where optimised; loose here, for sanitizers. */
static void
scan_is_fast(void **state)
{
	const size_t len = 1 << 24;
	char *text = mem_alloc(len);
	struct downgrade_scan s;
	int64_t start;

	(void)state;
	memset(text, 'x', len);
	for (size_t i = 0; i + 78 < len; i += 78) {
		memcpy(text + i + 76, "\r\n", 2);
	}
	start = clock_mono_us();
	scan(text, len, 65536, &s);
	start = clock_mono_us() - start;
	print_message("scan: %.2f GB/s\n",
	              (double)len / 1000.0 / (double)(start + 1));
	assert_true(start < 1000000);
	free(text);
}

static void
expect_done(const char *msg, const char *want)
{
	struct err e = { 0 };
	struct buf out;
	struct buf again;

	buf_init(&out, 100000);
	buf_init(&again, 100000);
	if (downgrade(msg, strlen(msg), &out, &e) != DOWNGRADE_DONE) {
		fail_msg("%s\nnot converted: %s", msg, e.text);
	}
	assert_string_equal(buf_cstr(&out), want);
	assert_int_equal(downgrade(buf_ptr(&out), buf_len(&out), &again, &e),
	                 DOWNGRADE_NOT_NEEDED);
	assert_int_equal(buf_len(&again), 0);
	buf_clear(&out);
	buf_clear(&again);
}

/* Whole messages, so that every octet that must stay is seen to stay. */
static void
converts(void **state)
{
	static const char *const cases[][2] = {
		/* RFC 1428: no MIME at all. */
		{ "A: b\r\n\r\nGr\xfc\xdf"
		  "e = 1 \r\n",
		  "A: b\r\n" V CT "text/plain; charset=unknown-8bit\r\n" CTE
		  "quoted-printable\r\n\r\nGr=FC=DFe =3D 1=20\r\n" },
		{ "\r\n\xfc\r\n",
		  V CT "text/plain; charset=unknown-8bit\r\n" CTE
		       "quoted-printable\r\n\r\n=FC\r\n" },
		/* In its place, whatever it looked like. */
		{ "A: b\r\ncontent-transfer-ENCODING:\r\n 8bit (c)\r\n" V CT
		  "text/plain; charset=utf-8\r\nC:  d \r\n\r\n\xc3\xbcx\r\n",
		  "A: b\r\n" CTE "quoted-printable\r\n" V CT
		  "text/plain; charset=utf-8\r\nC:  d \r\n\r\n=C3=BCx\r\n" },
		/* Typed, but without version. */
		{ CT "text/html\r\n\r\n<b>\xc3\xbc</b>\r\n",
		  CT "text/html\r\n" V CTE
		     "quoted-printable\r\n\r\n<b>=C3=BC</b>\r\n" },
		/* Mostly 8-bit text is shorter in base64. */
		{ V CT "text/plain\r\n\r\n\xd0\xb0\xd0\xb1\xd0\xb2\xd0\xb3\r\n",
		  V CT "text/plain\r\n" CTE
		       "base64\r\n\r\n0LDQsdCy0LMNCg==\r\n" },
		{ V CT "application/x-y\r\n" CTE "binary\r\n\r\n"
		       "abcdefghij\r\nklmnopqrstuvwxyzabcdefghij\xff\r\n",
		  V CT
		  "application/x-y\r\n" CTE
		  "quoted-printable\r\n\r\nabcdefghij=0D=0Aklmnopqrstuvwxyzabcdefghij=FF=0D"
		  "=0A=\r\n" },
		/* Only what needs it; labels round it; the rest as it was. */
		{ V MIXED("b") CTE "8bit\r\n\r\npre\r\n--b\r\n" CTE
		                   "8bit\r\n\r\nplain\r\n--b \r\n\r\n"
		                   "\xe4xy\r\n\r\n--b\r\n" CT "image/x\r\n" CTE
		                   "Binary\r\nX: y\r\n\r\n\x80\x81\x82\x83"
		                   "\r\n--b--\r\nepi\r\n",
		  V MIXED("b") CTE "7bit\r\n\r\npre\r\n--b\r\n" CTE
		                   "8bit\r\n\r\nplain\r\n--b \r\n" CTE
		                   "quoted-printable\r\n\r\n"
		                   "=E4xy\r\n\r\n--b\r\n" CT "image/x\r\n" CTE
		                   "base64\r\nX: y\r\n\r\ngIGCgw=="
		                   "\r\n--b--\r\nepi\r\n" },
		/* A message within a message is one of its own. */
		{ V MIXED("b") "\r\n--b\r\n" CT "message/rfc822\r\n" CTE
		               "8bit\r\n\r\nSubject: x\r\n\r\n\xe4\r\n\r\n"
		               "--b--\r\n",
		  V MIXED("b") "\r\n--b\r\n" CT "message/rfc822\r\n" CTE
		               "7bit\r\n\r\nSubject: x\r\n" V CT
		               "text/plain; charset=unknown-8bit\r\n" CTE
		               "quoted-printable\r\n\r\n=E4\r\n\r\n--b--\r\n" },
		/* Beside a signed part, which stays. */
		{ V MIXED("b") "\r\n--b\r\n\r\n\xe4\r\n--b\r\n" CT
		               "multipart/signed; boundary=s\r\n" CTE
		               "8bit\r\n\r\n--s\r\n" CTE "8bit\r\n\r\nx\r\n"
		               "--s--\r\n--b--\r\n",
		  V MIXED("b") "\r\n--b\r\n" CTE
		               "quoted-printable\r\n\r\n=E4\r\n--b\r\n" CT
		               "multipart/signed; boundary=s\r\n" CTE
		               "8bit\r\n\r\n--s\r\n" CTE "8bit\r\n\r\nx\r\n"
		               "--s--\r\n--b--\r\n" },
		{ CT "message/global-headers\r\n" V "\r\nA: \xc3\xa4"
		     "bcdefghijklmnopqrstuvwxyzabcdefghijk\r\n",
		  CT
		  "message/global-headers\r\n" V CTE
		  "quoted-printable\r\n\r\nA: =C3=A4bcdefghijklmnopqrstuvwxyzabcdefghijk=0D=0A=\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		expect_done(cases[i][0], cases[i][1]);
	}
}

/* B32: lines over 998 octets. n octets of fill behind head, then tail. */
static char *
long_line(const char *head, const char *fill, size_t n, const char *tail)
{
	struct buf b;
	size_t len;

	buf_init(&b, 100000);
	buf_puts(&b, head);
	for (size_t i = 0; i < n; i++) {
		buf_puts(&b, fill);
	}
	buf_puts(&b, tail);
	return buf_steal(&b, &len);
}

static void
breaks_long_lines(void **state)
{
	static const struct {
		const char *head;
		const char *fill;
		size_t n;
		const char *tail;
		const char *want; /* the beginning of the result */
	} cases[] = {
		{ "A: b\r\n\r\n", "y", 999, "\r\n",
		  "A: b\r\n" V CT "text/plain; charset=us-ascii\r\n" CTE
		  "quoted-printable\r\n\r\nyyyy" },
		{ V CT "text/html\r\n" CTE "7bit\r\n\r\n", "y", 999, "\r\n",
		  V CT "text/html\r\n" CTE "quoted-printable\r\n\r\nyyy" },
		{ V CT "image/x\r\n" CTE "base64\r\n\r\n", "QUJD", 250, "\r\n",
		  V CT
		  "image/x\r\n" CTE "base64\r\n\r\n"
		  "QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD"
		  "QUJDQUJDQUJDQUJDQUJD\r\nQUJD" },
		{ V CT "text/x\r\n" CTE
		       "quoted-printable\r\n\r\nab=\r\n  c \r\n",
		  "=E4-----", 125, "  \r\nx\r\n",
		  V CT
		  "text/x\r\n" CTE "quoted-printable\r\n\r\nab=\r\n  c \r\n"
		  "=E4-----=E4-----=E4-----=E4-----=E4-----=E4-----=E4-----"
		  "=E4-----=E4-----=E4=\r\n"
		  "=2D----=E4-----" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *msg = long_line(cases[i].head, cases[i].fill, cases[i].n,
		                      cases[i].tail);
		struct err e = { 0 };
		struct downgrade_scan s;
		struct buf out;

		buf_init(&out, 100000);
		assert_int_equal(downgrade(msg, strlen(msg), &out, &e),
		                 DOWNGRADE_DONE);
		assert_true(strncmp(buf_cstr(&out), cases[i].want,
		                    strlen(cases[i].want)) == 0);
		scan(buf_ptr(&out), buf_len(&out), 1000, &s);
		assert_true(s.longest <= ENCODE_LINE_MAX);
		assert_int_equal(buf_ptr(&out)[buf_len(&out) - 1], '\n');
		buf_clear(&out);
		free(msg);
	}
}

static void
expect_impossible(const char *msg, size_t len, const char *why)
{
	struct err e = { 0 };
	struct buf out;

	buf_init(&out, 100000);
	if (downgrade(msg, len, &out, &e) != DOWNGRADE_IMPOSSIBLE ||
	    strstr(e.text, why) == NULL) {
		fail_msg("%s\nwhy: %s, not %s", msg, e.text, why);
	}
	assert_int_equal(e.code, ERR_REFUSED);
	assert_int_equal(buf_len(&out), 0);
	buf_clear(&out);
}

static void
refuses(void **state)
{
	static const char *const cases[][2] = {
		{ "A: \xc3\xa4\r\n\r\nx\r\n", "header field" },
		{ V MIXED("b") "\r\n--b\r\nX: \xe4\r\n\r\n--b--\r\n",
		  "header field" },
		{ V CT "message/rfc822\r\n\r\nA: \xe4\r\n\r\nx\r\n",
		  "header field" },
		{ V MIXED("b") "\r\n\xe4\r\n--b\r\n\r\n--b--\r\n",
		  "round the parts" },
		{ V MIXED("b") "\r\n--b\r\n\r\n--b--\r\n\xe4\r\n",
		  "round the parts" },
		/* C80: the first part of multipart/signed stays as it is. */
		{ V CT "multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe4"
		       "\r\n--b--\r\n",
		  "signed" },
		{ V CT "multipart/signed; boundary=b\r\n\r\n--b\r\n" CT
		       "message/rfc822\r\n\r\nA: b\r\n\r\n\xe4\r\n--b--\r\n",
		  "signed" },
		{ V CT "multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n\xe4"
		       "\r\n--b--\r\n",
		  "encrypted" },
		{ V CT "application/pkcs7-mime; x=y\r\n\r\n\xe4\r\n",
		  "encrypted" },
		{ V CT "application/x-pkcs7-mime\r\n\r\n\xe4\r\n",
		  "encrypted" },
		{ V CTE "x-odd\r\n\r\n\xe4\r\n", "unknown" },
		{ V CTE "base64\r\n\r\n\xe4\r\n", "encoded part" },
		{ V CTE "quoted-printable\r\n\r\n\xe4\r\n", "encoded part" },
		{ V CT "message/delivery-status\r\n\r\nA: \xe4\r\n",
		  "message part" },
		{ V CT "message/partial\r\n\r\n\xe4\r\n", "message part" },
		{ V MIXED("b") "\r\n--b\r\n\r\n\xe4\r\n", "ambiguous" },
		{ CT "text/plain\r\n" CT "text/html\r\n\r\n\xe4\r\n",
		  "ambiguous" },
		{ "A: b\r\n\r\n\xe4\n", "bare" },
		{ "A: b\r\n\r\nx\ry\r\n", "bare" },
	};
	static const char nul[] = "A: \0\r\n\r\nx\r\n";
	static const char *const lines[][3] = {
		{ "A: ", "\r\n\r\nx\r\n", "998 octets in a header field" },
		{ V CTE "base64\r\n\r\n=AA", "\r\n", "junk" },
		{ V CTE "quoted-printable\r\n\r\n=x", "\r\n", "junk" },
		{ V CT "multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n",
		  "\r\n--b--\r\n", "signed" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		expect_impossible(cases[i][0], strlen(cases[i][0]),
		                  cases[i][1]);
	}
	expect_impossible(nul, sizeof(nul) - 1, "NUL in a header");
	for (size_t i = 0; i < COUNT(lines); i++) {
		char *msg = long_line(lines[i][0], "AAAA", 260, lines[i][1]);

		expect_impossible(msg, strlen(msg), lines[i][2]);
		free(msg);
	}
}

/* NUL in a body is content like any other octet. */
static void
encodes_nul(void **state)
{
	static const char msg[] = "A: b\r\n\r\nx\0y\r\n";
	struct err e = { 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(downgrade(msg, sizeof(msg) - 1, &out, &e),
	                 DOWNGRADE_DONE);
	assert_non_null(strstr(buf_cstr(&out), "\r\n\r\nx=00y\r\n"));
	buf_clear(&out);
}

static void
leaves_7bit_alone(void **state)
{
	static const char *const cases[] = {
		"",
		"A: b\r\n\r\nx\r\n",
		"A: b\r\n",
		V CTE "8bit\r\n\r\nx\r\n",
		/* Ambiguous, but nothing to do. */
		V MIXED("b") "\r\n--b\r\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = { 0 };
		struct buf out;

		buf_init(&out, 0);
		assert_int_equal(
			downgrade(cases[i], strlen(cases[i]), &out, &e),
			DOWNGRADE_NOT_NEEDED);
	}
}

static void
respects_the_maximum(void **state)
{
	static const char msg[] = "A: b\r\n\r\n\xe4\xe4\xe4\r\n";
	size_t done = 0;

	(void)state;
	for (size_t max = 0; max < 150; max++) {
		struct err e = { 0 };
		struct buf out;

		buf_init(&out, max);
		if (downgrade(msg, strlen(msg), &out, &e) == DOWNGRADE_DONE) {
			assert_true(buf_len(&out) <= max);
			done++;
		} else {
			assert_int_equal(e.code, ERR_LIMIT);
			assert_int_equal(buf_len(&out), 0);
		}
		buf_clear(&out);
	}
	assert_true(done > 0 && done < 100);
}

/* ---- real mail ---- */

static void
decode(const char *msg, const struct structure_part *p, struct buf *out)
{
	const char *body = msg + p->body;
	size_t len = p->body_end - p->body;
	struct decode_base64 b;
	struct decode_qp q;

	if (p->encoding == FIELD_ENCODING_QP) {
		decode_qp_init(&q, out);
		assert_int_equal(decode_qp_update(&q, body, len), 0);
		assert_int_equal(decode_qp_finish(&q), 0);
	} else if (p->encoding == FIELD_ENCODING_BASE64) {
		decode_base64_init(&b, out);
		assert_int_equal(decode_base64_update(&b, body, len), 0);
	} else {
		buf_add(out, body, len);
	}
}

static void
same_content(const struct buf *a, const struct buf *b)
{
	struct structure sa;
	struct structure sb;

	assert_int_equal(structure_parse(buf_ptr(a), buf_len(a), &sa, NULL), 0);
	assert_int_equal(structure_parse(buf_ptr(b), buf_len(b), &sb, NULL), 0);
	assert_int_equal(sa.n, sb.n);
	for (size_t i = 0; i < sa.n; i++) {
		struct buf da;
		struct buf db;

		assert_string_equal(sa.parts[i].type, sb.parts[i].type);
		if (!structure_is_leaf(&sa.parts[i])) {
			continue;
		}
		buf_init(&da, buf_len(a) + 1);
		buf_init(&db, buf_len(a) + 1);
		decode(buf_ptr(a), &sa.parts[i], &da);
		decode(buf_ptr(b), &sb.parts[i], &db);
		assert_string_equal(buf_cstr(&da), buf_cstr(&db));
		buf_clear(&da);
		buf_clear(&db);
	}
	structure_clear(&sa);
	structure_clear(&sb);
}

/* A file of the corpus as SMTP carries it; every nth line of its body gets an
 * 8-bit octet, so that there is something to convert. */
static void
read_mail(const char *path, size_t nth, struct buf *out)
{
	char line[20000];
	FILE *f = fopen(path, "rb");
	bool in_body = false;
	size_t n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		size_t len = strcspn(line, "\r\n");

		if (n++ == 0 && strncmp(line, "From ", 5) == 0) {
			continue;
		}
		line[len] = '\0';
		if (in_body && len > 0 && nth > 0 && n % nth == 0 &&
		    strchr("aest,.", line[len - 1]) != NULL) {
			line[len - 1] = '\xe9';
		}
		in_body = in_body || len == 0;
		buf_addf(out, "%s\r\n", line);
	}
	assert_int_equal(fclose(f), 0);
}

static void
real_mail_survives(void **state)
{
	const char *dir = getenv("SORTIE_CORPUS");
	unsigned n_done = 0;
	unsigned n_files = 0;
	struct dirent *entry;
	DIR *d;

	(void)state;
	if (dir == NULL) {
		dir = "../shared/corpus/mail";
	}
	d = opendir(dir);
	if (d == NULL) {
		skip();
		return;
	}
	while ((entry = readdir(d)) != NULL) {
		char path[1024];

		if (strstr(entry->d_name, ".eml") == NULL) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		n_files++;
		for (size_t nth = 0; nth < 8; nth++) {
			struct err e = { 0 };
			struct buf msg;
			struct buf out;

			buf_init(&msg, 10000000);
			buf_init(&out, 40000000);
			read_mail(path, nth, &msg);
			if (downgrade(buf_ptr(&msg), buf_len(&msg), &out, &e) ==
			    DOWNGRADE_DONE) {
				struct downgrade_scan s;

				n_done++;
				scan(buf_ptr(&out), buf_len(&out), 4096, &s);
				assert_true(downgrade_scan_is_7bit(&s));
				same_content(&msg, &out);
			}
			buf_clear(&msg);
			buf_clear(&out);
		}
	}
	assert_int_equal(closedir(d), 0);
	print_message("%u files, %u conversions\n", n_files, n_done);
	assert_true(n_files == 0 || n_done >= 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scans_in_any_chunks),
		cmocka_unit_test(scan_measures_lines),
		cmocka_unit_test(scan_is_fast),
		cmocka_unit_test(converts),
		cmocka_unit_test(breaks_long_lines),
		cmocka_unit_test(refuses),
		cmocka_unit_test(encodes_nul),
		cmocka_unit_test(leaves_7bit_alone),
		cmocka_unit_test(respects_the_maximum),
		cmocka_unit_test(real_mail_survives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

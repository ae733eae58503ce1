/*
 * Stationery in messages of every shape: where it goes, once, and what is
 * never touched (checklist B38, B39, B40, B41).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "mime/html.h"
#include "mime/structure.h"
#include "tests/unit/common_stationery.h"

#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
#define ALL_FORMS   (COMMON_HTML | COMMON_TEXT | COMMON_ABOVE)
#define PLAIN_FORMS (ALL_FORMS | COMMON_PLAIN_BELOW)

#define FROM          "From: Ann Example <ann@example.com>\r\nSubject: x\r\n"
#define MIME          FROM "MIME-Version: 1.0\r\n"
#define MULTI(sub, b) "Content-Type: multipart/" sub "; boundary=" b "\r\n\r\n"
#define HTML(text)    "Content-Type: text/html\r\n\r\n<p>" text "</p>\r\n"
#define TEXT(text)    "Content-Type: text/plain\r\n\r\n" text "\r\n"
#define FILE_PART                                                              \
	"Content-Type: application/pdf\r\n"                                    \
	"Content-Disposition: attachment; filename=a.pdf\r\n"                  \
	"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n"
#define TEXT_FILE                                                              \
	"Content-Type: text/plain; name=notes.txt\r\n"                         \
	"Content-Disposition: inline; filename=notes.txt\r\n\r\nnotes\r\n"
#define INNER "Content-Type: message/rfc822\r\n\r\n"

/* What stands in the message, as types and as where the words are: B banner,
 * U unique text, in each leaf part. */
static char *
shape(const char *msg, size_t len)
{
	struct structure s;
	struct buf out;
	char *text;

	buf_init(&out, 100000);
	assert_int_equal(structure_parse(msg, len, &s, NULL), 0);
	assert_false(s.ambiguous);
	for (size_t i = 0; i < s.n; i++) {
		const struct structure_part *p = &s.parts[i];
		const char *body = msg + p->body;
		size_t n = p->body_end - p->body;

		buf_addf(&out, "%s%s", i > 0 ? " " : "", p->subtype);
		if (!structure_is_leaf(p)) {
			continue;
		}
		if (memmem(body, n, COMMON_BANNER, strlen(COMMON_BANNER))) {
			buf_puts(&out, "+B");
		}
		if (memmem(body, n, COMMON_UNIQUE, strlen(COMMON_UNIQUE))) {
			buf_puts(&out, "+U");
		}
	}
	structure_clear(&s);
	text = buf_steal(&out, &(size_t){ 0 });
	return text;
}

struct message {
	const char *msg;
	unsigned forms;
	enum stationery_outcome outcome;
	const char *want; /* applied: the shape; else why begins with it */
};

static void
check(const struct message *c, const struct common_stationery *s)
{
	size_t len = strlen(c->msg);
	enum stationery_outcome got;
	struct buf again;
	struct buf out;
	char why[200];
	char *is;

	got = common_stationery_render(s, c->msg, len, &out, why);
	if (got != c->outcome) {
		print_error("%s\n%s: %s\n", c->msg,
		            stationery_outcome_word(got), why);
	}
	assert_int_equal(got, c->outcome);
	if (got != STATIONERY_APPLIED) {
		assert_int_equal(buf_len(&out), len);
		assert_memory_equal(buf_ptr(&out), c->msg, len);
		if (strncmp(why, c->want, strlen(c->want)) != 0) {
			assert_string_equal(why, c->want);
		}
		buf_clear(&out);
		return;
	}
	is = shape(buf_ptr(&out), buf_len(&out));
	if (strcmp(is, c->want) != 0) {
		print_error("%.*s\n", (int)buf_len(&out), buf_ptr(&out));
	}
	assert_string_equal(is, c->want);
	free(is);
	/* MAN15: a second pass adds nothing. */
	assert_int_equal(common_stationery_render(s, buf_ptr(&out),
	                                          buf_len(&out), &again, why),
	                 STATIONERY_PRESENT);
	assert_int_equal(buf_len(&again), buf_len(&out));
	buf_clear(&again);
	buf_clear(&out);
}

static void
check_all(const struct message *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct common_stationery s;

		common_stationery_init(&s, cases[i].forms);
		check(&cases[i], &s);
		common_stationery_clear(&s);
	}
}

static void
goes_into_the_body(void **state)
{
	static const struct message cases[] = {
		{ FROM "\r\nhello\r\n", PLAIN_FORMS, STATIONERY_APPLIED,
		  "plain+B+U" },
		{ FROM "\r\n", PLAIN_FORMS, STATIONERY_APPLIED, "plain+B+U" },
		{ MIME HTML("hello"), ALL_FORMS, STATIONERY_APPLIED,
		  "html+B+U" },
		{ MIME MULTI("alternative", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\n" HTML("hello") "--b--\r\n",
		  ALL_FORMS | COMMON_PLAIN_BELOW, STATIONERY_APPLIED,
		  "alternative plain+B+U html+B+U" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\n" FILE_PART "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED, "mixed plain+B+U pdf" },
		/* The picture and the file stand between paragraphs. */
		{ MIME MULTI("mixed", "b") "--b\r\n" HTML(
			  "one") "--b\r\n" FILE_PART
		                 "--b\r\n" HTML("two") "--b\r\n" TEXT_FILE
		                                       "--b--\r\n",
		  ALL_FORMS, STATIONERY_APPLIED,
		  "mixed html+B pdf html+U plain" },
		/* A file first. */
		{ MIME MULTI("mixed", "b") "--b\r\n" FILE_PART
		                           "--b\r\n" HTML("one") "--b--\r\n",
		  ALL_FORMS, STATIONERY_APPLIED, "mixed pdf html+B+U" },
		/* A list's footer is seen and not part of the reply. */
		{ MIME MULTI("mixed", "b") "--b\r\n" MULTI("alternative", "c") "--c\r\n" TEXT(
			  "hello") "--c\r\n" HTML("hello") "--c--\r\n--b\r\n" TEXT("list footer") "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "mixed alternative plain+B+U html+B+U plain" },
		/* Apple Mail. */
		{ MIME MULTI("alternative", "c") "--c\r\n" TEXT("hello") "--c\r\n" MULTI(
			  "mixed",
			  "b") "--b\r\n" HTML("one") "--b\r\n" FILE_PART
		                                     "--b\r\n" HTML(
							     "two") "--b--\r\n--c--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "alternative plain+B+U mixed html+B pdf html+U" },
		{ MIME MULTI("related", "b") "--b\r\n" HTML(
			  "hello") "--b\r\nContent-Type: text/html\r\n\r\nx\r\n--b--\r\n",
		  ALL_FORMS, STATIONERY_APPLIED, "related html+B+U html" },
		/* B41: the forwarded message stays, the covering text not. */
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "see below") "--b\r\n" INNER MIME
		          HTML("hello") "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "mixed plain+B+U rfc822 html" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "see below") "--b\r\n" INNER MIME
		          MULTI("signed", "s") "--s\r\n" TEXT(
				  "hello") "--s\r\n\r\nsig\r\n--s--\r\n"
		                           "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "mixed plain+B+U rfc822 signed plain plain" },
		/* Files only: a part of its own. */
		{ MIME MULTI("mixed", "b") "preamble\r\n--b\r\n" FILE_PART
		                           "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "mixed alternative plain+B+U html+B+U pdf" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT_FILE "--b--\r\n",
		  COMMON_TEXT | COMMON_PLAIN_BELOW, STATIONERY_APPLIED,
		  "mixed plain+U plain" },
	};

	(void)state;
	check_all(cases, COUNT(cases));
}

static void
adds_images_once(void **state)
{
	static const unsigned forms = COMMON_HTML | COMMON_IMAGE;
	const struct message cases[] = {
		{ MIME HTML("hello"), forms, STATIONERY_APPLIED,
		  "related html+U png" },
		{ FROM "Content-Type: text/html\r\nX-A: b\r\n\r\nhello", forms,
		  STATIONERY_APPLIED, "related html+U png" },
		{ MIME MULTI("alternative", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\n" HTML("hello") "--b--\r\n",
		  forms, STATIONERY_APPLIED,
		  "alternative plain related html+U png" },
		{ MIME MULTI("related", "b") "--b\r\n" HTML(
			  "hello") "--b\r\n" FILE_PART "--b--\r\n",
		  forms, STATIONERY_APPLIED, "related html+U pdf png" },
		/* Gmail. */
		{ MIME MULTI("related", "b") "--b\r\n" MULTI("alternative", "c") "--c\r\n" TEXT(
			  "hello") "--c\r\n" HTML("hello") "--c--\r\n\r\n--b\r\n" FILE_PART
		                                           "--b--\r\n",
		  forms, STATIONERY_APPLIED,
		  "related alternative plain html+U pdf png" },
		/* One image for two that name it. */
		{ MIME MULTI("alternative", "b") "--b\r\n" HTML(
			  "hello") "--b\r\n" HTML("hello") "--b--\r\n",
		  forms, STATIONERY_APPLIED,
		  "alternative related html+U png html+U" },
		/* An empty body before the boundary. */
		{ MIME MULTI("related", "b") "--b\r\nContent-Type: text/html"
		                             "\r\n\r\n--b--\r\n",
		  forms, STATIONERY_APPLIED, "related html+U png" },
		{ MIME MULTI("mixed", "b") "--b\r\nContent-Type: text/html"
		                           "\r\n\r\n--b--\r\n",
		  forms, STATIONERY_APPLIED, "mixed related html+U png" },
	};
	struct common_stationery s;
	struct buf out;
	char why[200];

	(void)state;
	check_all(cases, COUNT(cases));
	/* A message that becomes MIME by it says so. */
	common_stationery_init(&s, forms);
	assert_int_equal(common_stationery_render(&s, cases[1].msg,
	                                          strlen(cases[1].msg), &out,
	                                          why),
	                 STATIONERY_APPLIED);
	assert_non_null(strstr(buf_cstr(&out), "\r\nMIME-Version: 1.0\r\n"));
	buf_clear(&out);
	common_stationery_clear(&s);
}

static void
is_there_once(void **state)
{
	static const struct message cases[] = {
		{ FROM "\r\nhi\r\n> > example LTD,\r\n> > registered in\r\n"
		       "> > England 0123456\r\n",
		  PLAIN_FORMS, STATIONERY_PRESENT, "the unique text" },
		{ MIME HTML("Example <b>Ltd</b>, registered in&nbsp;"
		            "England 0123456"),
		  ALL_FORMS, STATIONERY_PRESENT, "the unique text" },
		/* B40: hidden, in a comment, in a header, in a file. */
		{ MIME HTML("<div style=\"display:none\">" COMMON_UNIQUE
		            "</div>hello"),
		  ALL_FORMS, STATIONERY_APPLIED, "html+B+U" },
		{ MIME "X-A: " COMMON_UNIQUE
		       "\r\n" HTML("<!-- " COMMON_UNIQUE " -->hello"),
		  ALL_FORMS, STATIONERY_APPLIED, "html+B+U" },
		/* Behind what is hidden, not within. */
		{ MIME
		  "Content-Type: text/html\r\n\r\n<p>a</p><div hidden>b\r\n",
		  ALL_FORMS, STATIONERY_APPLIED, "html+B+U" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\nContent-Type: text/plain; name=a.txt\r\n\r\n" COMMON_UNIQUE
		                   "\r\n--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED, "mixed plain+B+U plain+U" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\n" INNER FROM "\r\n" COMMON_UNIQUE
		                   "\r\n--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "mixed plain+B+U rfc822 plain+U" },
		/* Where nobody looks: the other alternative gets it. */
		{ MIME MULTI("alternative", "b") "--b\r\n" TEXT(
			  COMMON_UNIQUE) "--b\r\n" HTML("hello") "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "alternative plain+U html+B+U" },
		/* Beside the body, for all to see. */
		{ MIME MULTI("mixed", "b") "--b\r\n" MULTI("alternative", "c") "--c\r\n" TEXT(
			  "hello") "--c\r\n" HTML("hello") "--c--\r\n--b\r\n" TEXT(COMMON_UNIQUE) "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_PRESENT, "the unique text" },
		{ MIME MULTI("alternative", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\n" HTML(COMMON_UNIQUE) "--b--\r\n",
		  COMMON_HTML, STATIONERY_PRESENT, "the unique text" },
	};

	(void)state;
	check_all(cases, COUNT(cases));
}

static void
leaves_alone(void **state)
{
	static const struct message cases[] = {
		{ MIME MULTI("signed", "s") "--s\r\n" TEXT(
			  "hello") "--s\r\nContent-Type: application/pgp-signature"
		                   "\r\n\r\nsig\r\n--s--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "signed (multipart" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT("hello") "--b\r\n" MULTI(
			  "signed",
			  "s") "--s\r\n" TEXT("hello") "--s\r\n\r\nsig\r\n--s--\r\n--b--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "signed (multipart" },
		{ MIME MULTI(
			  "encrypted",
			  "s") "--s\r\nContent-Type: "
		               "application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
		               "--s\r\n\r\nx\r\n--s--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "encrypted (multipart" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\nContent-Type: application/pgp-encrypted\r\n"
		                   "\r\nVersion: 1\r\n--b--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "encrypted (PGP/MIME)" },
		{ MIME "Content-Type: application/pkcs7-mime; "
		       "name=smime.p7m\r\n\r\nx\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED,
		  "signed or encrypted (PKCS" },
		{ MIME "Content-Type: application/octet-stream\r\n"
		       "Content-Disposition: attachment;\r\n"
		       " filename=\"smime.P7M\"\r\n\r\nx\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED,
		  "signed or encrypted (PKCS" },
		{ MIME "Content-Type: application/ms-tnef\r\n"
		       "Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "winmail.dat that is" },
		{ MIME "\r\nhello\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "PGP within" },
		{ MIME HTML("hello -----BEGIN PGP MESSAGE-----"), ALL_FORMS,
		  STATIONERY_UNTOUCHED, "PGP within" },
		{ MIME MULTI("report", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\nContent-Type: message/delivery-status\r\n"
		                   "\r\nx: y\r\n--b--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "a report" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\n"
		                   "Content-Type: message/disposition-notification\r\n"
		                   "\r\nx: y\r\n--b--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "a delivery report or" },
		{ MIME "Content-Type: message/partial; id=a; number=1\r\n\r\n"
		       "x\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "a piece of a message" },
		{ MIME MULTI("alternative", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\nContent-Type: text/calendar;\r\n"
		                   " charset=utf-8; METHOD = \"REPLY\"\r\n\r\nx\r\n"
		                   "--b--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "a meeting" },
		{ MIME "Content-Type: application/pdf\r\n\r\nx\r\n", ALL_FORMS,
		  STATIONERY_UNTOUCHED, "no text part" },
		{ MIME "Content-Disposition: attachment\r\n" TEXT("x"),
		  ALL_FORMS, STATIONERY_UNTOUCHED, "no text part" },
		{ MIME INNER FROM "\r\nhello\r\n", ALL_FORMS,
		  STATIONERY_UNTOUCHED, "no text part" },
		{ MIME HTML("hello"), COMMON_TEXT, STATIONERY_UNTOUCHED,
		  "no HTML layout" },
		{ MIME TEXT("hello"), COMMON_HTML, STATIONERY_UNTOUCHED,
		  "no plain-text layout" },
	};

	(void)state;
	check_all(cases, COUNT(cases));
}

/* B38, B39: two readings, or none. */
static void
fails_on_doubt(void **state)
{
	static const struct message cases[] = {
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT("hello"), ALL_FORMS,
		  STATIONERY_FAILED, "ambiguous MIME structure: a multipart" },
		{ MIME
		  "Content-Type: multipart/related; boundary=b;"
		  " start=\"<z@x>\"\r\n\r\n--b\r\n" HTML(
			  "hello") "--b\r\nContent-ID: <z@x>\r\n" HTML("z") "--b--\r\n",
		  ALL_FORMS, STATIONERY_FAILED, "a multipart/related whose" },
		{ MIME "Content-Type: text/plain; charset=x-none\r\n\r\n"
		       "hello\r\n",
		  ALL_FORMS, STATIONERY_FAILED, "text/plain: " },
		{ MIME "Content-Type: text/html\r\n\r\n"
		       "<body style=\"font-size:0\"><p>a</p></body>\r\n",
		  ALL_FORMS, STATIONERY_FAILED, "HTML: hidden where" },
		{ MIME "Content-Type: text/html\r\n\r\n<body hidden><p>a</p>"
		       "</body>\r\n",
		  ALL_FORMS, STATIONERY_FAILED, "HTML: " },
	};

	(void)state;
	check_all(cases, COUNT(cases));
}

/* As many tags as are left open have to be closed first: to any number of them
 * there is an answer (checklist B38). */
static void
closes_what_is_open(void **state)
{
	struct common_stationery s;

	(void)state;
	common_stationery_init(&s, ALL_FORMS);
	for (size_t n = 0; n < 600; n += n < 200 ? 1 : 50) {
		struct message c = { .outcome = STATIONERY_APPLIED,
			             .want = "html+B+U" };
		struct buf b;

		buf_init(&b, 100000);
		buf_puts(&b, MIME "Content-Type: text/html\r\n\r\n");
		for (size_t i = 0; i < n; i++) {
			buf_puts(&b, "<div>\r\n");
		}
		buf_puts(&b, "hello\r\n");
		c.msg = buf_cstr(&b);
		if (n > HTML_CLOSING_MAX / strlen("</div>")) {
			c.outcome = STATIONERY_FAILED;
			c.want = "HTML: ";
		}
		check(&c, &s);
		buf_clear(&b);
	}
	common_stationery_clear(&s);
}

/* A calendar that a person attached is a file like others; a related part may
 * name the root that it has. */
static void
is_not_afraid(void **state)
{
	static const struct message cases[] = {
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\nContent-Type: text/calendar; method=PUBLISH"
		                   "\r\nContent-Disposition: attachment\r\n\r\nx\r\n"
		                   "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED, "mixed plain+B+U calendar" },
		{ MIME MULTI("mixed", "b") "--b\r\n" TEXT(
			  "hello") "--b\r\nContent-Type: text/calendar; x=\"; method=a\""
		                   "\r\n\r\nx\r\n--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED, "mixed plain+B+U calendar" },
		{ MIME
		  "Content-Type: multipart/related; boundary=b;"
		  " start=\"<z@x>\"\r\n\r\n--b\r\nContent-ID: <z@x>\r\n" HTML(
			  "hello") "--b--\r\n",
		  ALL_FORMS, STATIONERY_APPLIED, "related html+B+U" },
		{ MIME "Content-Disposition: attachment\r\n" MULTI(
			  "mixed", "b") "--b\r\n" FILE_PART "--b--\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED,
		  "mixed alternative plain+B+U html+B+U pdf" },
		{ MIME "\r\nthe mark is > -----BEGIN PGP MESSAGE-----\r\n",
		  PLAIN_FORMS, STATIONERY_APPLIED, "plain+B+U" },
	};

	(void)state;
	check_all(cases, COUNT(cases));
}

static void
wraps_what_is_signed(void **state)
{
#define SIGNED_BODY                                                            \
	"--s\r\n" TEXT("hello") "--s\r\nContent-Type: application/pgp-"        \
				"signature\r\n\r\nsig\r\n--s--\r\n"
#define SIGNED_TYPE                                                            \
	"Content-Type: multipart/signed; micalg=x;\r\n\tboundary=s\r\n"
	static const char msg[] = FROM SIGNED_TYPE
		"MIME-Version: 1.0\r\n"
		"Content-Language: en\r\nX-A: b\r\n\r\n" SIGNED_BODY;
	static const char front[] =
		FROM "Content-Type: multipart/mixed; "
		     "boundary=\"=_sortie_1234567890abcdef_00\"\r\n"
		     "MIME-Version: 1.0\r\nX-A: b\r\n\r\n"
		     "--=_sortie_1234567890abcdef_00\r\n" SIGNED_TYPE
		     "Content-Language: en\r\n\r\n" SIGNED_BODY
		     "\r\n--=_sortie_1234567890abcdef_00\r\n";
	static const struct message cases[] = {
		{ msg, PLAIN_FORMS, STATIONERY_APPLIED,
		  "mixed signed plain pgp-signature alternative plain+B+U "
		  "html+B+U" },
		{ msg, COMMON_HTML | COMMON_IMAGE, STATIONERY_APPLIED,
		  "mixed signed plain pgp-signature related html+U png" },
		{ MIME MULTI("signed", "s") "--s\r\n" TEXT(
			  COMMON_UNIQUE) "--s\r\n\r\nsig\r\n--s--\r\n",
		  ALL_FORMS, STATIONERY_PRESENT, "the unique text" },
		/* The layout has nothing for the text beside it. */
		{ MIME MULTI("signed", "s") "--s\r\n" MULTI("alternative", "c") "--c\r\n" TEXT(
			  "hello") "--c\r\n" HTML(COMMON_UNIQUE) "--c--\r\n--s\r\n\r\nsig\r\n"
		                                                 "--s--\r\n",
		  COMMON_HTML, STATIONERY_PRESENT, "the unique text" },
		{ MIME MULTI("encrypted", "s") "--s\r\n" TEXT(
			  "hello") "--s\r\n\r\nx\r\n--s--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "encrypted" },
		{ MIME MULTI(
			  "signed",
			  "s") "--s\r\n"
		               "Content-Type: application/pkcs7-mime\r\n\r\nx\r\n"
		               "--s\r\n\r\nsig\r\n--s--\r\n",
		  ALL_FORMS, STATIONERY_UNTOUCHED, "signed or encrypted" },
	};
	struct common_stationery s;
	struct buf out;
	char why[200];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		common_stationery_init(&s, cases[i].forms);
		s.conf.signed_mail = "wrap";
		check(&cases[i], &s);
		common_stationery_clear(&s);
	}
	common_stationery_init(&s, ALL_FORMS);
	s.conf.signed_mail = "wrap";
	assert_int_equal(
		common_stationery_render(&s, msg, strlen(msg), &out, why),
		STATIONERY_APPLIED);
	assert_memory_equal(buf_ptr(&out), front, strlen(front));
	buf_clear(&out);
	common_stationery_clear(&s);
}

static void
check_exact(const char *msg, const char *placement, const char *want)
{
	struct common_stationery s;
	struct buf out;
	char why[200];

	common_stationery_init(&s, PLAIN_FORMS);
	s.conf.placement = placement;
	assert_int_equal(
		common_stationery_render(&s, msg, strlen(msg), &out, why),
		STATIONERY_APPLIED);
	assert_string_equal(buf_cstr(&out), want);
	buf_clear(&out);
	common_stationery_clear(&s);
}

static void
has_blank_lines_round_it(void **state)
{
	static const char marker[] = "marker";
#define HEAD FROM "\r\n" COMMON_BANNER "\r\n\r\n"

	(void)state;
	check_exact(FROM "\r\nhi\r\n", marker,
	            HEAD "hi\r\n\r\n" COMMON_UNIQUE "\r\n");
	check_exact(FROM "\r\nhi", marker, HEAD "hi\r\n\r\n" COMMON_UNIQUE);
	check_exact(FROM "\r\nhi\r\n\r\n", marker,
	            HEAD "hi\r\n\r\n" COMMON_UNIQUE "\r\n");
	check_exact(FROM "\r\n", marker,
	            FROM "\r\n" COMMON_BANNER "\r\n" COMMON_UNIQUE "\r\n");
	check_exact(FROM "\r\nhi\r\n\r\nOn Mon, 1 Jan 2024, Bob wrote:\r\n"
	                 "> hello\r\n",
	            "after_latest_reply",
	            HEAD "hi\r\n\r\n" COMMON_UNIQUE
	                 "\r\n\r\nOn Mon, 1 Jan 2024, Bob wrote:\r\n"
	                 "> hello\r\n");
}

static void
names_attributes(void **state)
{
	size_t n = 0;

	(void)state;
	while (stationery_attribute(n) != NULL) {
		n++;
	}
	assert_int_equal(n, 5);
	assert_string_equal(stationery_outcome_word(STATIONERY_APPLIED),
	                    "applied");
}

static void
expand_with(const char *from, const char *text, int64_t now_ms,
            const char *want)
{
	struct common_stationery s;
	struct stationery_result r;
	struct err e = { 0 };
	struct buf msg;

	common_stationery_init(&s, COMMON_TEXT);
	template_free(&s.layout.text.below);
	s.layout.text.below =
		template_new(text, strlen(text), TEMPLATE_TEXT, &e);
	assert_non_null(s.layout.text.below);
	buf_init(&msg, 10000);
	buf_addf(&msg, "From: %s\r\n\r\n", from);
	stationery_render(
		&(struct stationery_input){ .msg = buf_ptr(&msg),
	                                    .len = buf_len(&msg),
	                                    .layout = &s.layout,
	                                    .sender = "ann@example.com",
	                                    .id = 1,
	                                    .host = "h",
	                                    .now_ms = now_ms },
		&r);
	if (r.outcome != STATIONERY_APPLIED) {
		print_error("%s\n", r.why);
	}
	assert_int_equal(r.outcome, STATIONERY_APPLIED);
	assert_non_null(strstr(buf_cstr(&r.front), want));
	stationery_result_clear(&r);
	buf_clear(&msg);
	common_stationery_clear(&s);
}

/* B47: no boundary of ours that the message has already. */
static void
chooses_boundaries(void **state)
{
	static const struct message cases[] = {
		{ MIME MULTI("mixed", "b") "--b\r\n" HTML(
			  "=_sortie_1234567890abcdef_00 "
			  "=_sortie_1234567890abcdef_01") "--b\r\n" FILE_PART
		                                          "--b--\r\n",
		  COMMON_HTML | COMMON_IMAGE, STATIONERY_APPLIED,
		  "mixed related html+U png pdf" },
	};
	struct common_stationery s;
	struct buf out;
	char why[200];

	(void)state;
	check_all(cases, COUNT(cases));
	common_stationery_init(&s, cases[0].forms);
	assert_int_equal(common_stationery_render(&s, cases[0].msg,
	                                          strlen(cases[0].msg), &out,
	                                          why),
	                 STATIONERY_APPLIED);
	assert_non_null(strstr(buf_cstr(&out),
	                       "boundary=\"=_sortie_1234567890abcdef_02\""));
	buf_clear(&out);
	common_stationery_clear(&s);
}

/* B38: a message of many texts costs no more than one of few. */
static void
limits_the_texts(void **state)
{
	struct common_stationery s;
	struct buf msg;
	struct buf out;
	char why[200];

	(void)state;
	common_stationery_init(&s, PLAIN_FORMS);
	for (int n = 16; n <= 17; n++) {
		buf_init(&msg, 10000);
		buf_puts(&msg, MIME MULTI("alternative", "b"));
		for (int i = 0; i < n; i++) {
			buf_puts(&msg, "--b\r\n" TEXT("hello"));
		}
		buf_puts(&msg, "--b--\r\n");
		assert_int_equal(
			common_stationery_render(&s, buf_ptr(&msg),
		                                 buf_len(&msg), &out, why),
			n == 16 ? STATIONERY_APPLIED : STATIONERY_FAILED);
		assert_true(n == 16 || strcmp(why, "more than 16 texts") == 0);
		buf_clear(&out);
		buf_clear(&msg);
	}
	common_stationery_clear(&s);
}

static void
knows_the_sender(void **state)
{
	static const struct {
		const char *from;
		const char *name;
	} cases[] = {
		{ "Ann Example <ann@example.com>", "(Ann Example)" },
		{ "\"Example, Ann\" <ann@example.com>", "(Example, Ann)" },
		{ "\"A \\\"B\\\" C\" <Ann@example.com>", "(A \"B\" C)" },
		{ "=?us-ascii?Q?Ann_=42?= <ann@example.com>", "(Ann B)" },
		{ "=?utf-8?B?QW4=?=\r\n =?utf-8*en?b?bg==?= <ann@example.com>",
		  "(Ann)" },
		{ "ann@example.com", "(none)" },
		{ "Bob <bob@example.com>", "(none)" },
		{ "Bob <bob@example.com>, Ann <ann@example.com>", "(none)" },
		{ "=?utf-8?B?Q!W4=?= <ann@example.com>", "(none)" },
		{ "=?x-none?Q?Ann?= <ann@example.com>", "(none)" },
		{ "\"=?utf-8?Q?A?=\" <ann@example.com>", "(=?utf-8?Q?A?=)" },
		{ "=?utf-8?B?DQo=?= <ann@example.com>", "(none)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		expand_with(cases[i].from, "({{sender.display_name|none}})", 0,
		            cases[i].name);
	}
	expand_with("x", "{{sender.local_part}} at {{sender.domain}}", 0,
	            "ann at example.com");
	expand_with("x", "{{date}}", 0, "1970-01-01");
	expand_with("x", "{{date}}", 951782400000, "2000-02-29");
	expand_with("x", "{{date}}", 951868799999, "2000-02-29");
	expand_with("x", "{{date}}", 1767225599999, "2025-12-31");
	expand_with("x", "{{date}}", 4107542400000, "2100-03-01");
	expand_with("x", "{{date}}", 4107542399999, "2100-02-28");
	expand_with("x", "{{date}}", -1, "1969-12-31");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_into_the_body),
		cmocka_unit_test(adds_images_once),
		cmocka_unit_test(is_there_once),
		cmocka_unit_test(leaves_alone),
		cmocka_unit_test(fails_on_doubt),
		cmocka_unit_test(closes_what_is_open),
		cmocka_unit_test(is_not_afraid),
		cmocka_unit_test(wraps_what_is_signed),
		cmocka_unit_test(has_blank_lines_round_it),
		cmocka_unit_test(names_attributes),
		cmocka_unit_test(chooses_boundaries),
		cmocka_unit_test(limits_the_texts),
		cmocka_unit_test(knows_the_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

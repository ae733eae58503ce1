/*
 * TNEF: bodies edited, everything else octet for octet; nothing that is not
 * right in every length and checksum is touched (checklist B38, B41).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mime/tnef.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define RTF      "{\\rtf1\\ansi\\ansicpg1252 Hello\\par}"

static const struct rtf_insert in = {
	.above = "Top\r\n",
	.above_len = 5,
	.below = "Caf\xc3\xa9\r\n",
	.below_len = 7,
};

static void
put_u16(struct buf *b, unsigned n)
{
	char octets[2] = { (char)n, (char)(n >> 8) };

	buf_add(b, octets, 2);
}

static void
put_u32(struct buf *b, uint32_t n)
{
	put_u16(b, n & 0xffff);
	put_u16(b, n >> 16);
}

static void
attribute(struct buf *b, unsigned level, uint32_t id, const void *data,
          size_t len)
{
	const unsigned char *p = data;
	unsigned sum = 0;
	char octet = (char)level;

	for (size_t i = 0; i < len; i++) {
		sum += p[i];
	}
	buf_add(b, &octet, 1);
	put_u32(b, id);
	put_u32(b, (uint32_t)len);
	buf_add(b, data, len);
	put_u16(b, sum);
}

static void
property(struct buf *b, uint32_t tag, const void *data, size_t len)
{
	put_u32(b, tag);
	put_u32(b, 1);
	put_u32(b, (uint32_t)len);
	buf_add(b, data, len);
	buf_add(b, "\0\0\0", (4 - len % 4) % 4);
}

static void
begin(struct buf *b, const char *class)
{
	buf_init(b, 1 << 20);
	put_u32(b, 0x223e9f78);
	put_u16(b, 0x1234);
	attribute(b, 1, 0x00089006, "\0\0\1\0", 4);
	attribute(b, 1, 0x00069007, "\xe4\4\0\0\0\0\0\0", 8);
	if (class != NULL) {
		attribute(b, 1, 0x00078008, class, strlen(class) + 1);
	}
}

static void
end(struct buf *b)
{
	attribute(b, 2, 0x00069002, "\1\0\0\0\0\0\0\0\0\0\0\0\0\0", 14);
	attribute(b, 2, 0x0006800f, "octets", 6);
	attribute(b, 2, 0x0002800c, "not the message's", 18);
	/* Its properties look like those of the message. */
	attribute(b, 2, 0x00069005, "\1\0\0\0\x1e\0\0\x10\1\0\0\0\2\0\0\0a\0\0",
	          20);
}

/* Properties of every shape before and behind the bodies. */
static uint32_t
odd_properties(struct buf *b)
{
	put_u32(b, 0x0e1f000b); /* in sync */
	put_u32(b, 1);
	put_u32(b, 0x00390040); /* a time */
	put_u32(b, 1);
	put_u32(b, 2);
	put_u32(b, 0x8001001f); /* named by a string */
	buf_add(b, "0123456789abcdef", 16);
	put_u32(b, 1);
	put_u32(b, 6);
	buf_add(b, "n\0m\0\0\0\0\0", 8);
	put_u32(b, 1);
	put_u32(b, 2);
	put_u32(b, 0);
	put_u32(b, 0x80021003); /* named by a number, two values */
	buf_add(b, "0123456789abcdef", 16);
	put_u32(b, 0);
	put_u32(b, 0x8501);
	put_u32(b, 2);
	put_u32(b, 7);
	put_u32(b, 8);
	put_u32(b, 0x6000101e); /* two texts */
	put_u32(b, 2);
	put_u32(b, 3);
	buf_add(b, "ab\0\0", 4);
	put_u32(b, 5);
	buf_add(b, "abcd\0\0\0\0", 8);
	put_u32(b, 0x60010048); /* a class id */
	buf_add(b, "0123456789abcdef", 16);
	put_u32(b, 0x60021048); /* none of many */
	put_u32(b, 0);
	put_u32(b, 0x60030005);
	buf_add(b, "01234567", 8);
	return 8;
}

struct make {
	const char *class;
	const char *rtf;
	const char *html;
	size_t html_more; /* octets behind it: its NUL */
	uint32_t html_tag;
	const void *text;
	size_t text_len;
	uint32_t text_tag;
	const char *body; /* attBody */
	bool twice;
};

static void
make(struct buf *b, const struct make *m)
{
	struct buf list;
	struct buf body;
	struct buf rtf;
	uint32_t n = 1;

	begin(b, m->class);
	if (m->body != NULL) {
		attribute(b, 1, 0x0002800c, m->body, strlen(m->body) + 1);
	}
	buf_init(&body, 1 << 20);
	buf_init(&rtf, 1 << 20);
	buf_init(&list, 1 << 20);
	put_u32(&body, 0x3fde0003);
	put_u32(&body, 65001);
	for (unsigned i = 0; m->rtf != NULL && i <= (m->twice ? 1 : 0); i++) {
		buf_reset(&rtf, 1 << 20);
		assert_int_equal(
			tnef_rtf_compress(m->rtf, strlen(m->rtf), &rtf), 0);
		property(&body, 0x10090102, buf_ptr(&rtf), buf_len(&rtf));
		n++;
	}
	if (m->html != NULL) {
		property(&body, m->html_tag, m->html,
		         strlen(m->html) + m->html_more);
		n++;
	}
	if (m->text != NULL) {
		property(&body, m->text_tag, m->text, m->text_len);
		n++;
	}
	n += odd_properties(&body) * 2;
	put_u32(&list, n);
	(void)odd_properties(&list);
	buf_add(&list, buf_ptr(&body), buf_len(&body));
	attribute(b, 1, 0x00069003, buf_ptr(&list), buf_len(&list));
	buf_clear(&list);
	buf_clear(&body);
	buf_clear(&rtf);
	end(b);
}

static const struct make outlook = { .class = "IPM.Microsoft Mail.Note",
	                             .rtf = RTF };

static void
edit(const struct make *m, const struct rtf_insert *insert, struct buf *tnef,
     struct buf *out)
{
	struct err e = { 0 };

	make(tnef, m);
	buf_init(out, 1 << 21);
	if (tnef_edit(buf_ptr(tnef), buf_len(tnef), insert, out, &e) != 0) {
		fail_msg("%s", e.text);
	}
}

/* Blanks and line ends: how an HTML is read is tested elsewhere. */
static void
squash(char *text)
{
	size_t n = 0;

	for (size_t i = 0; text[i] != '\0'; i++) {
		if (strchr(" \r\n", text[i]) == NULL) {
			text[n++] = text[i];
		}
	}
	text[n] = '\0';
}

static void
expect_seen(const struct buf *tnef, const char *want)
{
	struct err e = { 0 };
	struct buf seen;

	buf_init(&seen, 1 << 20);
	if (tnef_visible_text(buf_ptr(tnef), buf_len(tnef), &seen, &e) != 0) {
		fail_msg("%s", e.text);
	}
	(void)buf_cstr(&seen);
	squash(buf_ptr(&seen));
	assert_string_equal(buf_ptr(&seen), want);
	buf_clear(&seen);
}

static void
edits_rtf(void **state)
{
	struct make edited = outlook;
	struct buf tnef;
	struct buf out;
	struct buf want;
	struct buf rtf;
	struct err e = { 0 };

	(void)state;
	edit(&outlook, &in, &tnef, &out);
	expect_seen(&tnef, "Hello");
	expect_seen(&out, "TopHelloCaf\xc3\xa9");
	/* The same as if it had been made of the edited RTF: all else is as
	 * it was, lengths and checksums are right. */
	buf_init(&rtf, 1000);
	assert_int_equal(rtf_edit(RTF, strlen(RTF), &in, &rtf, &e), 0);
	edited.rtf = buf_cstr(&rtf);
	make(&want, &edited);
	assert_int_equal(buf_len(&out), buf_len(&want));
	assert_memory_equal(buf_ptr(&out), buf_ptr(&want), buf_len(&out));
	buf_clear(&rtf);
	buf_clear(&want);
	buf_clear(&tnef);
	buf_clear(&out);
}

static bool
contains(const struct buf *b, const void *what, size_t len)
{
	return memmem(buf_ptr(b), buf_len(b), what, len) != NULL;
}

static void
edits_each_body(void **state)
{
	static const char wide[] = "H\0i\0\0";
	static const char wide_out[] = "T\0o\0p\0\r\0\n\0H\0i\0\r\0\n\0C\0a\0"
				       "f\0\xe9\0\r\0\n\0\0";
	static const char caf[] = "Top\r\nHi\r\nCaf\xe9\r\n";
	struct make m = { .class = "IPM.Note",
		          .rtf = RTF,
		          .html = "<html><body>Hi</body></html>",
		          .html_more = 1,
		          .html_tag = 0x10130102,
		          .text = wide,
		          .text_len = sizeof(wide),
		          .text_tag = 0x1000001f,
		          .body = "Hi" };
	struct rtf_insert html = in;
	struct buf tnef;
	struct buf out;

	(void)state;
	html.html_above = "<p>T</p>";
	html.html_above_len = 8;
	edit(&m, &html, &tnef, &out);
	assert_true(contains(&out, wide_out, sizeof(wide_out)));
	/* attBody, with its NUL; in the code page of the whole. */
	assert_true(contains(&out, caf, sizeof(caf)));
	assert_true(contains(&out, "<html><body><p>T</p>Hi<div>Caf", 30));
	expect_seen(&out, "TopHiCaf\xc3\xa9"
	                  "TopHiCaf\xc3\xa9"
	                  "TopHelloCaf\xc3\xa9"
	                  "THiCaf\xc3\xa9");
	buf_clear(&tnef);
	buf_clear(&out);
}

/* What a code page lacks makes the text UTF-16; attBody cannot become it. */
static void
widens(void **state)
{
	struct make m = { .class = "IPM.Note",
		          .text = "caf\xe9",
		          .text_len = 5,
		          .text_tag = 0x1000001e };
	static const char want[] = "\x1f\0\0\x10\1\0\0\0\x1a\0\0\0"
				   "c\0a\0f\0\xe9\0\r\0\n\0\x2d\x4e\r\0\n\0";
	struct rtf_insert cjk = { .below = "\xe4\xb8\xad", .below_len = 3 };
	struct err e = { 0 };
	struct buf tnef;
	struct buf out;

	(void)state;
	edit(&m, &cjk, &tnef, &out);
	expect_seen(&out, "caf\xc3\xa9\xe4\xb8\xad");
	assert_true(contains(&out, want + 12, sizeof(want) - 13));
	buf_clear(&tnef);
	buf_reset(&out, 0);
	m.text = NULL;
	m.body = "caf\xe9";
	make(&tnef, &m);
	assert_int_equal(
		tnef_edit(buf_ptr(&tnef), buf_len(&tnef), &cjk, &out, &e), -1);
	assert_int_equal(e.code, ERR_REFUSED);
	buf_clear(&tnef);
	buf_clear(&out);
}

static void
refuse(const char *data, size_t len)
{
	char *copy = mem_alloc(len > 0 ? len : 1);
	struct err e = { 0 };
	struct buf out;

	memcpy(copy, data, len);
	buf_init(&out, 1 << 20);
	buf_add(&out, "z", 1);
	assert_int_equal(tnef_edit(copy, len, &in, &out, &e), -1);
	assert_true(e.text[0] != '\0');
	assert_int_equal(buf_len(&out), 1);
	buf_clear(&out);
	free(copy);
}

/* Cut at every octet, each octet changed, and more behind it. Where one
 * attribute ends, a shorter TNEF ends well. */
static void
refuses_what_is_broken(void **state)
{
	struct buf tnef;
	size_t ends = 0;

	(void)state;
	make(&tnef, &outlook);
	for (size_t i = 0; i < buf_len(&tnef); i++) {
		struct buf out;
		struct err e = { 0 };

		buf_init(&out, 1 << 20);
		if (tnef_edit(buf_ptr(&tnef), i, &in, &out, &e) == 0) {
			ends++;
		} else {
			refuse(buf_ptr(&tnef), i);
		}
		buf_clear(&out);
		/* All but the key, the level and the attribute's name. */
		buf_ptr(&tnef)[i] ^= 0x40;
		buf_init(&out, 1 << 20);
		if (tnef_edit(buf_ptr(&tnef), buf_len(&tnef), &in, &out, &e) !=
		    0) {
			refuse(buf_ptr(&tnef), buf_len(&tnef));
		} else {
			ends += 100;
		}
		buf_clear(&out);
		buf_ptr(&tnef)[i] ^= 0x40;
	}
	/* Behind the properties and three of four attributes; in octets: the
	 * key's two, four of the names of six attributes. */
	assert_int_equal(ends % 100, 4);
	assert_in_range(ends / 100, 2, 30);
	buf_add(&tnef, "\0", 1);
	refuse(buf_ptr(&tnef), buf_len(&tnef));
	buf_clear(&tnef);
}

static void
refuses_by_meaning(void **state)
{
	struct make twice = outlook;
	struct make none = { .class = "IPM.Note" };
	struct make broken = { .class = "IPM.Note", .rtf = "{\\rtf1 {a}" };
	struct make frames = { .class = "IPM.Note",
		               .text = "a\0b",
		               .text_len = 4,
		               .text_tag = 0x1000001e };
	struct make half = { .class = "IPM.Note",
		             .text = "a\0b",
		             .text_len = 3,
		             .text_tag = 0x1000001f };
	struct make type = { .class = "IPM.Note",
		             .html = "x",
		             .html_tag = 0x10090102 };
	const struct make *all[] = { &twice,  &none, &broken,
		                     &frames, &half, &type };

	(void)state;
	twice.twice = true;
	for (size_t i = 0; i < COUNT(all); i++) {
		struct buf tnef;

		make(&tnef, all[i]);
		refuse(buf_ptr(&tnef), buf_len(&tnef));
		buf_clear(&tnef);
	}
}

/* Lists that lie about counts and lengths, with a checksum that is right. */
static void
refuses_lists_that_lie(void **state)
{
	static const struct {
		const char *list;
		size_t len;
	} cases[] = {
		{ "", 0 },
		{ "\1\0\0\0", 4 },
		{ "\xff\xff\xff\xff", 4 },
		{ "\0\0\0\0\0\0\0\0", 8 },
		{ "\1\0\0\0\x1e\0\0\x10\1\0\0\0\xff\xff\xff\xff", 16 },
		{ "\1\0\0\0\x1e\0\0\x10\1\0\0\0\0\0\0\x80", 16 },
		{ "\1\0\0\0\x1e\0\0\x10\xff\xff\xff\xff\0\0\0\0", 16 },
		{ "\1\0\0\0\x1e\0\0\x10\1\0\0\0\2\0\0\0a\0", 18 },
		/* Bodies of types that none may have. */
		{ "\1\0\0\0\6\0\0\x10"
		  "8 octets",
		  16 },
		{ "\1\0\0\0\x0d\0\0\x10\1\0\0\0\0\0\0\0", 16 },
		{ "\1\0\0\0\x77\0\0\x10\1\0\0\0", 12 },
		{ "\1\0\0\0\3\0\1\x80", 8 },
		{ "\1\0\0\0\3\0\1\x80"
		  "0123456789abcdef\2\0\0\0\0\0\0\0\7\0\0",
		  36 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf tnef;

		begin(&tnef, "IPM.Note");
		attribute(&tnef, 1, 0x0002800c, "a", 2);
		attribute(&tnef, 1, 0x00069003, cases[i].list, cases[i].len);
		refuse(buf_ptr(&tnef), buf_len(&tnef));
		buf_clear(&tnef);
	}
}

static void
notes(void **state)
{
	static const struct {
		const char *class;
		bool note;
	} cases[] = {
		{ "IPM.Note", true },
		{ "ipm.note", true },
		{ "IPM.Microsoft Mail.Note", true },
		{ "IPM.Note.Custom Form", true },
		{ "IPM.Notebook", false },
		{ "IPM.Note.SMIME", false },
		{ "IPM.Note.SMIME.MultipartSigned", false },
		{ "IPM.Note.Secure.Sign", false },
		{ "IPM.Note.rpmsg.Microsoft.Voicemail", false },
		{ "IPM.Note.Rules.OofTemplate.Microsoft", false },
		{ "IPM.Microsoft Schedule.MtgReq", false },
		{ "IPM.Schedule.Meeting.Request", false },
		{ "Report.IPM.Note.NDR", false },
		{ "IPM.Microsoft Mail.Read Receipt", false },
		{ "IPM.TaskRequest", false },
		{ "", false },
		{ NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct make m = { .class = cases[i].class, .rtf = RTF };
		struct buf tnef;

		make(&tnef, &m);
		assert_int_equal(tnef_is_note(buf_ptr(&tnef), buf_len(&tnef)),
		                 cases[i].note);
		assert_false(tnef_is_note(buf_ptr(&tnef), buf_len(&tnef) - 1));
		buf_clear(&tnef);
	}
}

/* The property may say more than the attribute. */
static void
notes_by_property(void **state)
{
	static const char signed_note[] = "IPM.Note.SMIME";
	static const char note[] = "I\0P\0M\0.\0N\0o\0t\0e\0\0";

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct buf tnef;
		struct buf list;

		begin(&tnef, i == 0 ? "IPM.Note" : NULL);
		buf_init(&list, 1000);
		put_u32(&list, 1);
		if (i == 0) {
			property(&list, 0x001a001e, signed_note,
			         sizeof(signed_note));
		} else {
			property(&list, 0x001a001f, note, sizeof(note));
		}
		attribute(&tnef, 1, 0x00069003, buf_ptr(&list), buf_len(&list));
		assert_int_equal(tnef_is_note(buf_ptr(&tnef), buf_len(&tnef)),
		                 i == 1);
		buf_clear(&list);
		buf_clear(&tnef);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_rtf),
		cmocka_unit_test(edits_each_body),
		cmocka_unit_test(widens),
		cmocka_unit_test(refuses_what_is_broken),
		cmocka_unit_test(refuses_by_meaning),
		cmocka_unit_test(refuses_lists_that_lie),
		cmocka_unit_test(notes),
		cmocka_unit_test(notes_by_property),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

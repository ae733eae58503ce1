/*
 * TNEF: a stream of attributes, each with a length and a checksum
 * ([MS-OXTNEF] 2.1.3). All of it has to be right before a body is edited: what
 * is written anew must not hide that something was broken before. What is no
 * body of the message itself is copied.
 */
#include <string.h>
#include <strings.h>

#include "mime/rtf_private.h"
#include "mime/tnef.h"
#include "mime/tnef_private.h"

#define SIGNATURE   0x223e9f78U
#define HEADER_SIZE 9 /* level, id, length */
#define START       6 /* signature, key */

enum attribute {
	ATT_MESSAGE_CLASS = 0x00078008,
	ATT_BODY = 0x0002800c,
	ATT_OEM_CODEPAGE = 0x00069007,
	ATT_MSG_PROPS = 0x00069003,
};

enum {
	BODIES_MAX = 4, /* attBody, and three properties */
};

struct tnef {
	const char *data;
	size_t len;
	size_t body; /* of attBody, 0: none */
	size_t body_len;
	size_t props; /* of attMsgProps, 0: none */
	size_t props_len;
	const char *class; /* borrowed; NULL: none */
	size_t class_len;
	unsigned codepage;
	/* Of the properties: */
	struct tnef_property text;
	struct tnef_property rtf;
	struct tnef_property html;
	struct tnef_property props_class;
	unsigned html_codepage;
};

static uint16_t
sum(const char *data, size_t len)
{
	const unsigned char *p = (const unsigned char *)data;
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++) {
		n += p[i];
	}
	return (uint16_t)n;
}

static int
set_once(size_t *at, size_t *len, size_t new_at, size_t new_len, struct err *e)
{
	if (*at != 0) {
		return err_set(e, ERR_INVALID, "TNEF: two bodies of a kind");
	}
	*at = new_at;
	*len = new_len;
	return 0;
}

static int
note_attribute(struct tnef *t, uint32_t id, size_t at, size_t len,
               struct err *e)
{
	switch (id) {
	case ATT_BODY:
		return set_once(&t->body, &t->body_len, at, len, e);
	case ATT_MSG_PROPS:
		return set_once(&t->props, &t->props_len, at, len, e);
	case ATT_OEM_CODEPAGE:
		if (len < 4) {
			return err_set(e, ERR_INVALID,
			               "TNEF: broken code page");
		}
		t->codepage = tnef_u32(t->data + at);
		return 0;
	case ATT_MESSAGE_CLASS:
		if (t->class != NULL) {
			return err_set(e, ERR_INVALID, "TNEF: two classes");
		}
		t->class = t->data + at;
		t->class_len = len;
		return 0;
	default:
		return 0;
	}
}

static bool
may_have_type(const struct tnef_property *p)
{
	bool text = p->type == TNEF_STRING8 || p->type == TNEF_UNICODE;

	switch (p->id) {
	case TNEF_RTF:
		return p->type == TNEF_BINARY;
	case TNEF_HTML:
		return text || p->type == TNEF_BINARY;
	default:
		return text;
	}
}

static int
note_property(struct tnef *t, const struct tnef_property *p, struct err *e)
{
	struct tnef_property *place = NULL;

	switch (p->id) {
	case TNEF_BODY:
		place = &t->text;
		break;
	case TNEF_RTF:
		place = &t->rtf;
		break;
	case TNEF_HTML:
		place = &t->html;
		break;
	case TNEF_MESSAGE_CLASS:
		place = &t->props_class;
		break;
	case TNEF_INTERNET_CODEPAGE:
		if (p->type == 0x03) {
			t->html_codepage =
				tnef_u32(t->data + t->props + p->value);
		}
		return 0;
	default:
		return 0;
	}
	if (place->end != 0) {
		return err_set(e, ERR_INVALID, "TNEF: two bodies of a kind");
	}
	if (!p->single || !may_have_type(p)) {
		return err_set(e, ERR_INVALID,
		               "TNEF: property %04x of type %04x", p->id,
		               p->type);
	}
	*place = *p;
	return 0;
}

static int
read_properties(struct tnef *t, struct err *e)
{
	struct tnef_properties l;
	struct tnef_property p;
	int more;

	if (tnef_properties_begin(&l, t->data + t->props, t->props_len, e) !=
	    0) {
		return -1;
	}
	for (;;) {
		more = tnef_properties_next(&l, &p, e);
		if (more <= 0) {
			return more;
		}
		if (note_property(t, &p, e) != 0) {
			return -1;
		}
	}
}

static int
read_tnef(struct tnef *t, const char *data, size_t len, struct err *e)
{
	size_t pos = START;

	*t = (struct tnef){ .data = data, .len = len, .codepage = 1252 };
	if (len < START || tnef_u32(data) != SIGNATURE) {
		return err_set(e, ERR_INVALID, "no TNEF");
	}
	while (pos < len) {
		uint32_t id;
		size_t n;

		if (len - pos < HEADER_SIZE + 2) {
			return err_set(e, ERR_INVALID,
			               "TNEF: octets behind the attributes");
		}
		id = tnef_u32(data + pos + 1);
		n = tnef_u32(data + pos + 5);
		if (data[pos] != 1 && data[pos] != 2) {
			return err_set(e, ERR_INVALID,
			               "TNEF: attribute of no level");
		}
		if (n > len - pos - HEADER_SIZE - 2) {
			return err_set(e, ERR_INVALID,
			               "TNEF: attribute %08x is cut", id);
		}
		if (sum(data + pos + HEADER_SIZE, n) !=
		    tnef_u16(data + pos + HEADER_SIZE + n)) {
			return err_set(e, ERR_INVALID,
			               "TNEF: attribute %08x: wrong checksum",
			               id);
		}
		if (data[pos] == 1 &&
		    note_attribute(t, id, pos + HEADER_SIZE, n, e) != 0) {
			return -1;
		}
		pos += HEADER_SIZE + n + 2;
	}
	t->html_codepage = t->codepage;
	return t->props == 0 ? 0 : read_properties(t, e);
}

static struct tnef_body
body_of_property(const struct tnef *t, const struct tnef_property *p)
{
	return (struct tnef_body){
		.id = p->id,
		.type = p->type,
		.codepage = p->id == TNEF_HTML ? t->html_codepage : t->codepage,
		.data = t->data + t->props + p->value,
		.len = p->value_len,
	};
}

/* Its id is none of a property: its type cannot change. */
static struct tnef_body
body_of_attribute(const struct tnef *t)
{
	return (struct tnef_body){
		.id = TNEF_UNSPECIFIED,
		.type = TNEF_STRING8,
		.codepage = t->codepage,
		.data = t->data + t->body,
		.len = t->body_len,
	};
}

static size_t
bodies(const struct tnef *t, struct tnef_body list[BODIES_MAX])
{
	size_t n = 0;

	if (t->body != 0) {
		list[n++] = body_of_attribute(t);
	}
	if (t->text.end != 0) {
		list[n++] = body_of_property(t, &t->text);
	}
	if (t->rtf.end != 0) {
		list[n++] = body_of_property(t, &t->rtf);
	}
	if (t->html.end != 0) {
		list[n++] = body_of_property(t, &t->html);
	}
	return n;
}

static int
put_u32(struct buf *out, uint32_t n)
{
	unsigned char octets[4];

	tnef_put_u32(octets, n);
	return buf_append(out, octets, sizeof(octets));
}

/* A property of one value, in its new form. */
static int
write_property(const struct tnef *t, const struct tnef_property *p,
               const struct rtf_insert *in, struct buf *out, struct err *e)
{
	struct tnef_body b = body_of_property(t, p);
	unsigned type = p->type;
	struct buf value;
	int rc = -1;

	buf_init(&value, UINT32_MAX / 2);
	if (tnef_body_edit(&b, in, &value, &type, e) != 0) {
		goto out;
	}
	if (put_u32(out, p->id << 16 | type) != 0 || put_u32(out, 1) != 0 ||
	    put_u32(out, (uint32_t)buf_len(&value)) != 0 ||
	    rtf_add_buf(out, &value) != 0 ||
	    buf_append(out, "\0\0\0", (4 - buf_len(&value) % 4) % 4) != 0) {
		(void)err_set(e, ERR_LIMIT, "TNEF: too large");
		goto out;
	}
	rc = 0;
out:
	buf_clear(&value);
	return rc;
}

static int
write_properties(const struct tnef *t, const struct rtf_insert *in,
                 struct buf *out, struct err *e)
{
	const char *list = t->data + t->props;
	const struct tnef_property *edited[] = { &t->text, &t->rtf, &t->html };
	struct tnef_properties l;
	struct tnef_property p;
	int more;

	if (tnef_properties_begin(&l, list, t->props_len, e) != 0) {
		return -1;
	}
	if (buf_append(out, list, 4) != 0) {
		return err_set(e, ERR_LIMIT, "TNEF: too large");
	}
	for (;;) {
		bool is_body = false;

		more = tnef_properties_next(&l, &p, e);
		if (more <= 0) {
			return more;
		}
		for (size_t i = 0; i < 3; i++) {
			is_body |= edited[i]->end == p.end;
		}
		if (is_body) {
			if (write_property(t, &p, in, out, e) != 0) {
				return -1;
			}
		} else if (buf_append(out, list + p.start, p.end - p.start) !=
		           0) {
			return err_set(e, ERR_LIMIT, "TNEF: too large");
		}
	}
}

static int
write_attribute(const char *header, const struct buf *value, struct buf *out,
                struct err *e)
{
	uint16_t check = sum(rtf_data(value), buf_len(value));
	unsigned char end[2] = { (unsigned char)check,
		                 (unsigned char)(check >> 8) };

	if (buf_append(out, header, 5) != 0 ||
	    put_u32(out, (uint32_t)buf_len(value)) != 0 ||
	    rtf_add_buf(out, value) != 0 ||
	    buf_append(out, end, sizeof(end)) != 0) {
		return err_set(e, ERR_LIMIT, "TNEF: too large");
	}
	return 0;
}

/* The attribute at pos, edited when it has a body. */
static int
edit_attribute(const struct tnef *t, size_t pos, const struct rtf_insert *in,
               struct buf *out, struct err *e)
{
	struct tnef_body b = body_of_attribute(t);
	unsigned type = TNEF_STRING8;
	struct buf value;
	int rc;

	buf_init(&value, UINT32_MAX / 2);
	rc = pos + HEADER_SIZE == t->body
	             ? tnef_body_edit(&b, in, &value, &type, e)
	             : write_properties(t, in, &value, e);
	if (rc == 0) {
		rc = write_attribute(t->data + pos, &value, out, e);
	}
	buf_clear(&value);
	return rc;
}

int
tnef_edit(const char *tnef, size_t len, const struct rtf_insert *in,
          struct buf *out, struct err *e)
{
	struct tnef_body list[BODIES_MAX];
	size_t before = buf_len(out);
	size_t pos = START;
	size_t done = 0;
	struct tnef t;

	if (read_tnef(&t, tnef, len, e) != 0) {
		return -1;
	}
	if (bodies(&t, list) == 0) {
		return err_set(e, ERR_NOT_FOUND, "TNEF: no body");
	}
	while (pos < len) {
		size_t n = tnef_u32(tnef + pos + 5);
		size_t at = pos + HEADER_SIZE;
		size_t end = at + n + 2;

		if (at == t.body || (at == t.props && t.props != 0)) {
			if (buf_append(out, tnef + done, pos - done) != 0) {
				(void)err_set(e, ERR_LIMIT, "TNEF: too large");
				goto fail;
			}
			if (edit_attribute(&t, pos, in, out, e) != 0) {
				goto fail;
			}
			done = end;
		}
		pos = end;
	}
	if (buf_append(out, tnef + done, len - done) != 0) {
		(void)err_set(e, ERR_LIMIT, "TNEF: too large");
		goto fail;
	}
	return 0;
fail:
	out->end = out->start + before;
	return -1;
}

int
tnef_visible_text(const char *tnef, size_t len, struct buf *out, struct err *e)
{
	struct tnef_body list[BODIES_MAX];
	struct tnef t;
	size_t n;

	if (read_tnef(&t, tnef, len, e) != 0) {
		return -1;
	}
	n = bodies(&t, list);
	for (size_t i = 0; i < n; i++) {
		if (tnef_body_text(&list[i], out, e) != 0) {
			return -1;
		}
	}
	return 0;
}

static bool
begins(const char *class, const char *with)
{
	size_t n = strlen(with);

	return strncasecmp(class, with, n) == 0 &&
	       (class[n] == '\0' || class[n] == '.');
}

/* A class of mails that people write, in octets of which unit make one. */
static bool
is_note_class(const char *data, size_t len, size_t unit)
{
	/* Signed, encrypted, guarded by rights, or written by a rule. */
	static const char *const others[] = {
		"IPM.Note.SMIME",
		"IPM.Note.Secure",
		"IPM.Note.rpmsg",
		"IPM.Note.Rules",
		"IPM.Microsoft Mail.Note.SMIME",
		"IPM.Microsoft Mail.Note.Secure",
	};
	char class[256] = "";

	if (len / unit >= sizeof(class)) {
		return false;
	}
	for (size_t i = 0; i < len / unit; i++) {
		class[i] = data[i * unit];
		if (unit == 2 && data[i * unit + 1] != '\0') {
			return false;
		}
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (begins(class, others[i])) {
			return false;
		}
	}
	return begins(class, "IPM.Note") ||
	       begins(class, "IPM.Microsoft Mail.Note");
}

bool
tnef_is_note(const char *tnef, size_t len)
{
	const struct tnef_property *p;
	struct tnef t;

	if (read_tnef(&t, tnef, len, NULL) != 0) {
		return false;
	}
	p = &t.props_class;
	if (t.class == NULL && p->end == 0) {
		return false;
	}
	if (t.class != NULL && !is_note_class(t.class, t.class_len, 1)) {
		return false;
	}
	return p->end == 0 ||
	       is_note_class(tnef + t.props + p->value, p->value_len,
	                     p->type == TNEF_UNICODE ? 2 : 1);
}

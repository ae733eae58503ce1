/*
 * A list of MAPI properties as attMsgProps holds it ([MS-OXTNEF] 2.1.3.4):
 *
 *   count *( type id [ guid kind ( number / length name ) ] values )
 *
 * Every value fills four octets or a multiple of it. A type that is not of
 * the specification ends the reading: its length cannot be known.
 */
#include "mime/tnef_private.h"

#define MULTI_VALUED 0x1000U
#define NAMED        0x8000U

struct cursor {
	const char *data;
	size_t len;
	size_t pos;
};

static bool
take(struct cursor *c, size_t n, size_t *at_r)
{
	if (n > c->len - c->pos) {
		return false;
	}
	*at_r = c->pos;
	c->pos += n;
	return true;
}

static bool
take_u32(struct cursor *c, uint32_t *n_r)
{
	size_t at;

	if (!take(c, 4, &at)) {
		return false;
	}
	*n_r = tnef_u32(c->data + at);
	return true;
}

/* n octets and what fills up four. */
static bool
take_padded(struct cursor *c, size_t n, size_t *at_r)
{
	size_t pad = (4 - n % 4) % 4;
	size_t ignored;

	return take(c, n, at_r) && take(c, pad, &ignored);
}

static bool
take_name(struct cursor *c)
{
	uint32_t kind;
	uint32_t n;
	size_t at;

	if (!take(c, 16, &at) || !take_u32(c, &kind) || kind > 1 ||
	    !take_u32(c, &n)) {
		return false;
	}
	return kind == 0 || take_padded(c, n, &at);
}

/* Octets of a value of fixed length in the list; 0: variable or unknown. */
static size_t
fixed_size(unsigned type)
{
	switch (type) {
	case 0x02: /* integers and truth values; two octets of padding */
	case 0x0b:
	case 0x03:
	case 0x04:
	case 0x0a:
		return 4;
	case 0x05:
	case 0x06:
	case 0x07:
	case 0x14:
	case 0x40:
		return 8;
	case 0x48:
		return 16;
	default:
		return 0;
	}
}

static bool
is_variable(unsigned type)
{
	return type == TNEF_STRING8 || type == TNEF_UNICODE ||
	       type == TNEF_BINARY || type == 0x0d;
}

static bool
take_values(struct cursor *c, struct tnef_property *p)
{
	unsigned type = p->type & ~MULTI_VALUED;
	bool multi = (p->type & MULTI_VALUED) != 0;
	size_t fixed = fixed_size(type);
	uint32_t n = 1;
	size_t at;

	if (fixed == 0 && !is_variable(type)) {
		return (type == 0x01 || type == TNEF_UNSPECIFIED) && !multi;
	}
	if ((multi || fixed == 0) && !take_u32(c, &n)) {
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)fixed;

		if (fixed == 0 && !take_u32(c, &len)) {
			return false;
		}
		if (!take_padded(c, len, &at)) {
			return false;
		}
		p->value = at;
		p->value_len = len;
	}
	p->single = !multi && fixed == 0 && n == 1;
	return true;
}

int
tnef_properties_begin(struct tnef_properties *l, const char *data, size_t len,
                      struct err *e)
{
	*l = (struct tnef_properties){ .data = data, .len = len, .pos = 4 };
	if (len < 4) {
		return err_set(e, ERR_INVALID, "TNEF: no list of properties");
	}
	l->n = tnef_u32(data);
	return 0;
}

int
tnef_properties_next(struct tnef_properties *l, struct tnef_property *p,
                     struct err *e)
{
	struct cursor c = { .data = l->data, .len = l->len, .pos = l->pos };
	size_t at;

	*p = (struct tnef_property){ .start = l->pos };
	if (l->i == l->n) {
		if (l->pos != l->len) {
			return err_set(e, ERR_INVALID,
			               "TNEF: octets behind the properties");
		}
		return 0;
	}
	if (!take(&c, 4, &at)) {
		return err_set(e, ERR_INVALID, "TNEF: property %u is cut",
		               l->i);
	}
	p->type = tnef_u16(c.data + at);
	p->id = tnef_u16(c.data + at + 2);
	if ((p->id >= NAMED && !take_name(&c)) || !take_values(&c, p)) {
		return err_set(e, ERR_INVALID,
		               "TNEF: property %u (%04x%04x) is broken", l->i,
		               p->id, p->type);
	}
	p->end = c.pos;
	l->pos = c.pos;
	l->i++;
	return 1;
}

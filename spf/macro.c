#include "spf/macro.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/*
 * The end of a text alone is kept: a name has room for no more, and what a
 * long domain-spec makes of long values has no bound else.
 */

#define VALUE_MAX  512 /* a local part, "@" and a domain */
#define PIECES_MAX (VALUE_MAX + 1)
#define KEPT       (SPF_NAME_MAX + 3) /* a last dot, and the one before it */

struct tail {
	size_t len;
	char data[4 * KEPT];
};

struct piece {
	uint16_t at;
	uint16_t len;
};

static void
put(struct tail *t, char c)
{
	if (t->len == sizeof(t->data)) {
		memmove(t->data, t->data + t->len - KEPT, KEPT);
		t->len = KEPT;
	}
	t->data[t->len++] = c;
}

/* Section 7.3: all but the unreserved set of RFC 3986. */
static void
put_escaped(struct tail *t, char c)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char o = (unsigned char)c;

	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
	    c == '~') {
		put(t, c);
		return;
	}
	put(t, '%');
	put(t, hex[o >> 4]);
	put(t, hex[o & 15]);
}

static const char *
value_of(const struct spf_macro_values *v, char letter, size_t *len_r)
{
	const char *value = "";

	switch (letter) {
	case 's':
		value = v->sender;
		break;
	case 'l':
		*len_r = v->local_len;
		return v->local;
	case 'o':
		value = v->sender_domain;
		break;
	case 'd':
		value = v->domain;
		break;
	case 'i':
		value = v->client;
		break;
	case 'p':
		value = v->validated != NULL ? v->validated : "unknown";
		break;
	case 'v':
		value = v->version;
		break;
	case 'h':
		value = v->helo;
		break;
	default:
		break;
	}
	*len_r = strlen(value);
	return value;
}

static size_t
split(const char *value, size_t len, const char *delimiters, size_t n,
      struct piece *pieces)
{
	size_t count = 0;
	size_t at = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i == len || memchr(delimiters, value[i], n) != NULL) {
			pieces[count].at = (uint16_t)at;
			pieces[count++].len = (uint16_t)(i - at);
			at = i + 1;
		}
	}
	return count;
}

/* The macro's inside: letter, digits, "r", delimiters. */
static void
expand_one(const struct spf_macro_values *v, const char *s, size_t len,
           struct tail *out)
{
	struct piece pieces[PIECES_MAX];
	bool escape = s[0] >= 'A' && s[0] <= 'Z';
	bool reverse = false;
	size_t keep = 0;
	size_t value_len;
	const char *value =
		value_of(v, (char)tolower((unsigned char)s[0]), &value_len);
	size_t i = 1;

	value_len = value_len < VALUE_MAX ? value_len : VALUE_MAX;
	for (; i < len && s[i] >= '0' && s[i] <= '9'; i++) {
		if (keep <= PIECES_MAX) { /* more keeps all as well */
			keep = keep * 10 + (size_t)(s[i] - '0');
		}
	}
	if (i < len && (s[i] == 'r' || s[i] == 'R')) {
		reverse = true;
		i++;
	}
	size_t n = i < len ? split(value, value_len, s + i, len - i, pieces)
	                   : split(value, value_len, ".", 1, pieces);
	size_t first = keep > 0 && keep < n ? n - keep : 0;
	for (size_t k = first; k < n; k++) {
		const struct piece *p = &pieces[reverse ? n - 1 - k : k];

		if (k > first) {
			put(out, '.');
		}
		for (size_t c = p->at; c < (size_t)p->at + p->len; c++) {
			if (escape) {
				put_escaped(out, value[c]);
			} else {
				put(out, value[c]);
			}
		}
	}
}

bool
spf_macro_validated(const char *spec, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		if (spec[i] != '%') {
			continue;
		}
		if (spec[i + 1] == '{' &&
		    (spec[i + 2] == 'p' || spec[i + 2] == 'P')) {
			return true;
		}
		i++; /* "%%{p}" is none */
	}
	return false;
}

static void
finish(struct tail *t, char out[SPF_NAME_MAX + 1])
{
	size_t from = 0;

	if (t->len > 0 && t->data[t->len - 1] == '.') {
		t->len--;
	}
	if (t->len > SPF_NAME_MAX) {
		from = t->len - SPF_NAME_MAX;
		while (from < t->len && t->data[from - 1] != '.') {
			from++;
		}
	}
	memcpy(out, t->data + from, t->len - from);
	out[t->len - from] = '\0';
}

void
spf_macro_expand(const struct spf_macro_values *v, const char *spec, size_t len,
                 char out[SPF_NAME_MAX + 1])
{
	struct tail t;
	size_t i = 0;

	t.len = 0;
	while (i < len) {
		const char *close;

		if (spec[i] != '%' || i + 1 == len) {
			put(&t, spec[i++]);
			continue;
		}
		switch (spec[i + 1]) {
		case '_':
			put(&t, ' ');
			i += 2;
			break;
		case '-':
			put(&t, '%');
			put(&t, '2');
			put(&t, '0');
			i += 2;
			break;
		case '{':
			i += 2;
			close = memchr(spec + i, '}', len - i);
			if (close == NULL || close == spec + i) {
				i = len; /* no domain-spec: "" or a part */
				break;
			}
			expand_one(v, spec + i, (size_t)(close - spec) - i, &t);
			i = (size_t)(close - spec) + 1;
			break;
		default:
			put(&t, '%');
			i += 2;
			break;
		}
	}
	finish(&t, out);
}

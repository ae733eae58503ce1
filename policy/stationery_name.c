/*
 * The sender's display name as the From field has it (RFC 5322 section 3.4),
 * encoded words decoded (RFC 2047). Only of a field with one mailbox that is
 * the address asked for: who else is named there is not the sender. What
 * cannot be read gives no name.
 */
#include <string.h>
#include <strings.h>

#include "mime/charset.h"
#include "mime/encode.h"
#include "policy/stationery_private.h"

#define NAME_MAX_OCTETS 400
#define FIELD_MAX       4000

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The text of "=?charset?B?text?=", appended as UTF-8. */
static int
decode_word(const char *charset, size_t charset_len, char encoding,
            const char *text, size_t len, struct buf *out)
{
	char name[64];
	struct buf octets;
	bool exact = true;
	int rc = -1;

	if (charset_len == 0 || charset_len >= sizeof(name)) {
		return -1;
	}
	memcpy(name, charset, charset_len);
	name[charset_len] = '\0';
	name[strcspn(name, "*")] = '\0'; /* RFC 2231 section 5: a language */
	buf_init(&octets, FIELD_MAX);
	if (encoding == 'b' || encoding == 'B') {
		struct decode_base64 b;

		decode_base64_init(&b, &octets);
		rc = decode_base64_update(&b, text, len);
		rc = rc == 0 ? decode_base64_finish(&b) : rc;
		rc = b.errors > 0 ? -1 : rc;
	} else if (encoding == 'q' || encoding == 'Q') {
		struct decode_qp q;

		decode_qp_init(&q, &octets);
		for (size_t i = 0; i < len; i++) {
			const char *c = text[i] == '_' ? "=20" : text + i;

			if (decode_qp_update(&q, c, text[i] == '_' ? 3 : 1) ==
			    -1) {
				break;
			}
		}
		rc = decode_qp_finish(&q);
		rc = q.errors > 0 ? -1 : rc;
	}
	if (rc == 0 && buf_len(&octets) > 0) {
		rc = charset_decode(name, buf_ptr(&octets), buf_len(&octets),
		                    out, &exact);
		rc = exact ? rc : -1;
	}
	buf_clear(&octets);
	return rc;
}

/* Octets of the encoded word at s, which is appended; 0: there is none. */
static size_t
take_word(const char *s, size_t len, struct buf *out)
{
	const char *charset = s + 2;
	const char *end = s + len;
	const char *q1;
	const char *q2;
	size_t before = buf_len(out);

	if (len < 8 || s[0] != '=' || s[1] != '?') {
		return 0;
	}
	q1 = memchr(charset, '?', (size_t)(end - charset));
	if (q1 == NULL || end - q1 < 3 || q1[2] != '?') {
		return 0;
	}
	q2 = memchr(q1 + 3, '?', (size_t)(end - q1 - 3));
	if (q2 == NULL || end - q2 < 2 || q2[1] != '=') {
		return 0;
	}
	if (decode_word(charset, (size_t)(q1 - charset), q1[1], q1 + 3,
	                (size_t)(q2 - q1 - 3), out) == -1) {
		out->end = out->start + before;
		return 0;
	}
	return (size_t)(q2 - s) + 2;
}

/* Unquotes and decodes a phrase. */
static int
read_phrase(const char *s, size_t len, struct buf *out)
{
	bool quoted = false;
	bool word = false; /* the last thing was an encoded word */

	for (size_t i = 0; i < len; i++) {
		size_t n = quoted ? 0 : take_word(s + i, len - i, out);
		size_t k = i;

		if (n > 0) {
			i += n - 1;
			word = true;
			continue;
		}
		if (!quoted && s[i] == '=' && i + 1 < len && s[i + 1] == '?') {
			return -1; /* encoded, nobody knows what */
		}
		while (word && k < len && is_blank(s[k])) {
			k++;
		}
		if (word && k > i && k + 1 < len && s[k] == '=' &&
		    s[k + 1] == '?') {
			i = k - 1;
			continue;
		}
		word = false;
		if (s[i] == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && s[i] == '\\' && i + 1 < len) {
			i++;
		} else if (!quoted && strchr("<>,;:", s[i]) != NULL) {
			return -1; /* another mailbox, or a group */
		}
		if (buf_append(out, s + i, 1) == -1) {
			return -1;
		}
	}
	return 0;
}

/* Blanks round it go; control characters make it no name. */
static const char *
tidy(const struct buf *b, struct arena *a)
{
	const char *s = buf_len(b) > 0 ? buf_ptr(b) : "";
	size_t len = buf_len(b);

	while (len > 0 && is_blank(*s)) {
		s++;
		len--;
	}
	while (len > 0 && is_blank(s[len - 1])) {
		len--;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] < ' ' || s[i] == 127) {
			return "";
		}
	}
	return arena_strndup(a, s, len);
}

static const char *
name_of(const char *value, size_t len, const char *address, struct arena *a)
{
	const char *open = memrchr(value, '<', len);
	const char *name = "";
	struct buf out;

	/* "Name <address>" and nothing else, or there is no name. */
	if (open == NULL || value[len - 1] != '>' ||
	    (size_t)(value + len - open) != strlen(address) + 2 ||
	    strncasecmp(open + 1, address, strlen(address)) != 0) {
		return "";
	}
	buf_init(&out, NAME_MAX_OCTETS);
	if (read_phrase(value, (size_t)(open - value), &out) == 0) {
		name = tidy(&out, a);
	}
	buf_clear(&out);
	return name;
}

const char *
stationery_name_find(const char *msg, size_t len, const char *address,
                     struct arena *a)
{
	struct header_field f;
	const char *name = "";
	struct buf value;
	bool exact = true;
	struct buf utf8;

	if (!header_find(msg, len, "From", &f)) {
		return name;
	}
	buf_init(&value, FIELD_MAX);
	buf_init(&utf8, (size_t)3 * FIELD_MAX);
	if (header_unfold(msg, &f, &value) == 0 && buf_len(&value) > 0) {
		name = name_of(buf_ptr(&value), buf_len(&value), address, a);
	}
	if (*name != '\0' &&
	    (charset_decode("utf-8", name, strlen(name), &utf8, &exact) == -1 ||
	     !exact)) {
		name = "";
	}
	buf_clear(&utf8);
	buf_clear(&value);
	return name;
}

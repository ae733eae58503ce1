#include "dkim/fields.h"

#include <string.h>
#include <strings.h>

/* Where fields begin and end, and headers in which that is not certain. */

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* One line, with its LF. */
static size_t
line_len(const char *s, size_t len)
{
	const char *lf = memchr(s, '\n', len);

	return lf == NULL ? len : (size_t)(lf - s) + 1;
}

/* Without CRLF, or LF, at the end. */
static size_t
without_end(const char *s, size_t len)
{
	if (len > 0 && s[len - 1] == '\n') {
		len--;
		if (len > 0 && s[len - 1] == '\r') {
			len--;
		}
	}
	return len;
}

static void
split(struct field *f)
{
	const char *colon = memchr(f->text, ':', f->len);
	size_t n = colon == NULL ? 0 : (size_t)(colon - f->text);

	f->value = f->text + (colon == NULL ? f->len : n + 1);
	f->value_len = f->len - (size_t)(f->value - f->text);
	while (n > 0 && is_wsp(f->text[n - 1])) {
		n--;
	}
	f->name_len = n;
}

bool
fields_next(const char *header, size_t len, size_t *at, struct field *out)
{
	size_t end = *at;

	if (end >= len ||
	    without_end(header + end, line_len(header + end, len - end)) == 0) {
		return false;
	}
	do {
		end += line_len(header + end, len - end);
	} while (end < len && is_wsp(header[end]));
	out->text = header + *at;
	out->len = without_end(out->text, end - *at);
	*at = end;
	split(out);
	return true;
}

bool
field_is(const struct field *f, const char *name)
{
	return strlen(name) == f->name_len &&
	       strncasecmp(name, f->text, f->name_len) == 0;
}

static const char *
octet_trouble(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x20 || c == '\t') {
			continue;
		}
		if (c == '\r') {
			if (i + 1 == len || s[i + 1] != '\n') {
				return "the header has a lone CR";
			}
			i++;
		} else if (c == '\n') {
			return "the header has a lone LF";
		} else {
			return "the header has a control character";
		}
	}
	return NULL;
}

/* As the library has them; only the last octets may be blanks. */
static bool
is_name(const struct field *f)
{
	if (f->name_len == 0 || is_wsp(f->text[0])) {
		return false;
	}
	for (size_t i = 0; i < f->name_len; i++) {
		char c = f->text[i];

		if (c < 0x20 || c > 0x7e || c == ';') {
			return false;
		}
	}
	return true;
}

const char *
fields_trouble(const char *header, size_t len)
{
	const char *why = octet_trouble(header, len);
	struct field f;
	size_t at = 0;

	if (why != NULL) {
		return why;
	}
	while (fields_next(header, len, &at, &f)) {
		if (!is_name(&f)) {
			return "the header has a line that is no field";
		}
	}
	if (at < len && len - at != 2) {
		return "the header has an empty line";
	}
	return NULL;
}

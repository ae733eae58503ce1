/*
 * Finding command lines and telling verbs apart, and the small arguments. The
 * parameters of MAIL and RCPT are read in command_params.c. Refuses every line
 * with a control character before anything in it is looked at, so that no
 * later reader meets a NUL or a bare line end.
 */
#include "daemon/receive/command.h"

#include <string.h>
#include <strings.h>

static int
fault(struct command_fault *f, unsigned code, const char *enhanced,
      const char *text)
{
	f->code = (uint16_t)code;
	f->enhanced = enhanced;
	f->text = text;
	return -1;
}

/* The CRLF at or behind data, NULL when there is none. */
static const char *
find_crlf(const char *data, size_t len)
{
	const char *p = data;
	const char *end = data + len;

	while (p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		if (lf == NULL) {
			return NULL;
		}
		if (lf > data && lf[-1] == '\r') {
			return lf - 1;
		}
		p = lf + 1;
	}
	return NULL;
}

enum command_find
command_find(const char *data, size_t len, size_t max, size_t *len_r)
{
	size_t look = len < max + 2 ? len : max + 2;
	const char *crlf = find_crlf(data, look);

	if (crlf != NULL) {
		*len_r = (size_t)(crlf - data);
		return COMMAND_FIND_LINE;
	}
	return len >= max + 2 ? COMMAND_FIND_LONG : COMMAND_FIND_MORE;
}

size_t
command_skip(const char *data, size_t len, bool *ended_r)
{
	const char *crlf = find_crlf(data, len);

	*ended_r = crlf != NULL;
	if (crlf != NULL) {
		return (size_t)(crlf - data) + 2;
	}
	/* The LF of a CR at the very end may still come. */
	return len > 0 && data[len - 1] == '\r' ? len - 1 : len;
}

struct verb_name {
	const char *name;
	enum command_verb verb;
};

static const struct verb_name verbs[] = {
	{ "MAIL", COMMAND_MAIL },       { "RCPT", COMMAND_RCPT },
	{ "DATA", COMMAND_DATA },       { "BDAT", COMMAND_BDAT },
	{ "EHLO", COMMAND_EHLO },       { "RSET", COMMAND_RSET },
	{ "QUIT", COMMAND_QUIT },       { "STARTTLS", COMMAND_STARTTLS },
	{ "NOOP", COMMAND_NOOP },       { "HELO", COMMAND_HELO },
	{ "AUTH", COMMAND_AUTH },       { "VRFY", COMMAND_VRFY },
	{ "EXPN", COMMAND_EXPN },       { "HELP", COMMAND_HELP },
	{ "ETRN", COMMAND_ETRN },       { "GET", COMMAND_FOREIGN },
	{ "POST", COMMAND_FOREIGN },    { "PUT", COMMAND_FOREIGN },
	{ "HEAD", COMMAND_FOREIGN },    { "DELETE", COMMAND_FOREIGN },
	{ "OPTIONS", COMMAND_FOREIGN }, { "CONNECT", COMMAND_FOREIGN },
	{ "TRACE", COMMAND_FOREIGN },   { "PATCH", COMMAND_FOREIGN },
	{ "PRI", COMMAND_FOREIGN },
};

static enum command_verb
find_verb(const char *s, size_t len)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const char *name = verbs[i].name;

		if (strncasecmp(name, s, len) == 0 && name[len] == '\0') {
			return verbs[i].verb;
		}
	}
	return COMMAND_UNKNOWN;
}

static bool
has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		/* A tab is let through: it counts as a blank. */
		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			return true;
		}
	}
	return false;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

int
command_split(const char *line, size_t len, struct command_line *out_r,
              struct command_fault *f)
{
	size_t verb_len = 0;
	size_t at;

	if (has_control(line, len)) {
		return fault(f, 500, "5.5.2",
		             "Control character or bare line end in a command");
	}
	while (len > 0 && is_blank(line[len - 1])) {
		len--;
	}
	while (verb_len < len && !is_blank(line[verb_len])) {
		verb_len++;
	}
	at = verb_len;
	while (at < len && is_blank(line[at])) {
		at++;
	}
	out_r->verb = verb_len > 0 && verb_len <= 8 ? find_verb(line, verb_len)
	                                            : COMMAND_UNKNOWN;
	out_r->args = line + at;
	out_r->args_len = len - at;
	return 0;
}

int
command_parse_name(const char *args, size_t len, size_t *len_r,
                   struct command_fault *f)
{
	if (len == 0) {
		return fault(f, 501, "5.5.4", "A host name is required");
	}
	if (len > COMMAND_NAME_MAX) {
		return fault(f, 501, "5.5.4", "The host name is too long");
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)args[i];

		if (c <= 0x20 || c >= 0x7f) {
			return fault(f, 501, "5.5.4",
			             "The host name is malformed");
		}
	}
	*len_r = len;
	return 0;
}

static bool
take_number(const char **p, const char *end, uint64_t *out_r)
{
	uint64_t n = 0;
	size_t digits = 0;

	while (*p < end && **p >= '0' && **p <= '9') {
		unsigned digit = (unsigned)(**p - '0');

		digits++;
		if (digits > 20 || n > (UINT64_MAX - digit) / 10) {
			return false;
		}
		n = n * 10 + digit;
		(*p)++;
	}
	*out_r = n;
	return digits > 0;
}

int
command_parse_bdat(const char *args, size_t len, uint64_t *size_r, bool *last_r,
                   struct command_fault *f)
{
	const char *p = args;
	const char *end = args + len;
	uint64_t size = 0;

	if (!take_number(&p, end, &size) || size > (UINT64_C(1) << 62)) {
		return fault(f, 501, "5.5.4", "The chunk size is malformed");
	}
	if (p == end) {
		*size_r = size;
		*last_r = false;
		return 0;
	}
	if (!is_blank(*p)) {
		return fault(f, 501, "5.5.4", "The chunk size is malformed");
	}
	while (p < end && is_blank(*p)) {
		p++;
	}
	if (end - p != 4 || strncasecmp(p, "LAST", 4) != 0) {
		return fault(f, 501, "5.5.4", "BDAT takes a size and LAST");
	}
	*size_r = size;
	*last_r = true;
	return 0;
}

/*
 * Reply parser: one line a call, lines of a reply checked against each other.
 * Refuses what could be read in two ways (a code that changes, a missing
 * separator, NUL) rather than guess. Decides nothing about what a code means.
 */
#include "daemon/deliver/reply.h"

#include <string.h>

#define CODE_LEN 3

void
reply_init(struct reply *r)
{
	memset(r, 0, sizeof(*r));
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum reply_result
fail(struct reply *r, const char *why)
{
	r->error = why;
	return REPLY_ERROR;
}

/* The code that begins a line, 0 when there is none. */
static uint16_t
read_code(const char *s, size_t len)
{
	if (len < CODE_LEN || s[0] < '2' || s[0] > '5' || !is_digit(s[1]) ||
	    !is_digit(s[2])) {
		return 0;
	}
	return (uint16_t)((s[0] - '0') * 100 + (s[1] - '0') * 10 + s[2] - '0');
}

/*
 * status-code = class "." 1*3DIGIT "." 1*3DIGIT (RFC 3463 section 2), followed
 * by a blank or the end. Returns its length, 0 when the text begins with none.
 */
static size_t
enhanced_len(const char *s, size_t len, char class)
{
	if (len < 5 || s[0] != class || class == '3' || s[1] != '.') {
		return 0;
	}
	size_t i = 2;
	for (unsigned part = 0; part < 2; part++) {
		size_t begin = i;
		while (i < len && i - begin < 3 && is_digit(s[i])) {
			i++;
		}
		if (i == begin) {
			return 0;
		}
		if (part == 0) {
			if (i == len || s[i] != '.') {
				return 0;
			}
			i++;
		}
	}
	return i == len || s[i] == ' ' ? i : 0;
}

static void
add_text(struct reply *r, const char *s, size_t len)
{
	if (r->lines > 1 && len > 0 && r->text_len > 0 &&
	    r->text_len < REPLY_TEXT_MAX - 1) {
		r->text[r->text_len++] = ' ';
	}
	size_t room = REPLY_TEXT_MAX - 1 - r->text_len;
	size_t n = len < room ? len : room;
	memcpy(r->text + r->text_len, s, n);
	r->text_len += n;
	r->text[r->text_len] = '\0';
}

static void
take_text(struct reply *r, const char *s, size_t len)
{
	r->line = s;
	r->line_len = len;
	size_t n = enhanced_len(s, len, (char)('0' + r->code / 100));
	if (n > 0) {
		if (r->enhanced[0] == '\0' && n < sizeof(r->enhanced)) {
			memcpy(r->enhanced, s, n);
			r->enhanced[n] = '\0';
		}
		s += n;
		len -= n;
		if (len > 0) {
			s++;
			len--;
		}
	}
	add_text(r, s, len);
}

static enum reply_result
parse_line(struct reply *r, const char *s, size_t len)
{
	if (memchr(s, '\0', len) != NULL) {
		return fail(r, "NUL in a reply");
	}
	uint16_t code = read_code(s, len);
	if (code == 0) {
		return fail(r, "no reply code");
	}
	bool last = len == CODE_LEN || s[CODE_LEN] == ' ';
	if (!last && s[CODE_LEN] != '-') {
		return fail(r, "no separator behind the reply code");
	}
	if (r->lines == 0) {
		r->code = code;
		r->enhanced[0] = '\0';
		r->text[0] = '\0';
		r->text_len = 0;
	} else if (code != r->code) {
		return fail(r, "the code changes within a reply");
	}
	if (r->lines == REPLY_LINES_MAX) {
		return fail(r, "too many lines in a reply");
	}
	r->lines++;
	size_t skip = len == CODE_LEN ? CODE_LEN : CODE_LEN + 1;
	take_text(r, s + skip, len - skip);
	return last ? REPLY_DONE : REPLY_LINE;
}

enum reply_result
reply_parse(struct reply *r, const char *data, size_t len, size_t *used_r)
{
	*used_r = 0;
	size_t window = len < REPLY_LINE_MAX ? len : REPLY_LINE_MAX;
	const char *lf = window == 0 ? NULL : memchr(data, '\n', window);
	if (lf == NULL) {
		if (len >= REPLY_LINE_MAX) {
			return fail(r, "a reply line is too long");
		}
		return REPLY_MORE;
	}
	size_t line = (size_t)(lf - data);
	*used_r = line + 1;
	if (line > 0 && data[line - 1] == '\r') {
		line--;
	}
	if (r->done) {
		r->done = false;
		r->lines = 0;
	}
	enum reply_result result = parse_line(r, data, line);
	r->done = result == REPLY_DONE;
	return result;
}

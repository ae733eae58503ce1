/*
 * Capabilities of a server, line by line. Takes no offer that it cannot read
 * completely: a wrong guess would break mail, a missed offer only costs time.
 */
#include "daemon/deliver/ehlo.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

void
ehlo_clear(struct ehlo *e)
{
	memset(e, 0, sizeof(*e));
}

/* The next word of the line; false at its end. */
static bool
next_word(const char **pos, const char *end, const char **word_r, size_t *len_r)
{
	const char *p = *pos;
	while (p < end && (*p == ' ' || *p == '\t')) {
		p++;
	}
	const char *begin = p;
	while (p < end && *p != ' ' && *p != '\t') {
		p++;
	}
	*pos = p;
	*word_r = begin;
	*len_r = (size_t)(p - begin);
	return p > begin;
}

static bool
word_is(const char *word, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(word, name, len) == 0;
}

/* Digits only; false for none, others, or more than max. */
static bool
read_number(const char *s, size_t len, uint64_t max, uint64_t *out_r)
{
	uint64_t n = 0;

	if (len == 0 || len > 20) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9') {
			return false;
		}
		uint64_t digit = (uint64_t)(s[i] - '0');
		if (n > (max - digit) / 10) {
			return false;
		}
		n = n * 10 + digit;
	}
	*out_r = n;
	return true;
}

static void
add_size(struct ehlo *e, const char *pos, const char *end)
{
	const char *word;
	size_t len;
	uint64_t n = 0;

	e->flags |= EHLO_SIZE;
	if (next_word(&pos, end, &word, &len) &&
	    read_number(word, len, UINT64_MAX, &n)) {
		e->size_max = n;
	}
}

/* "RCPTMAX=100" and the like; a smaller limit than 1 makes no sense. */
static void
add_limits(struct ehlo *e, const char *pos, const char *end)
{
	static const struct {
		const char *name;
		size_t offset;
	} limits[] = {
		{ "MAILMAX=", offsetof(struct ehlo, mail_max) },
		{ "RCPTMAX=", offsetof(struct ehlo, rcpt_max) },
	};

	const char *word;
	size_t len;

	while (next_word(&pos, end, &word, &len)) {
		for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
			size_t name = strlen(limits[i].name);
			uint64_t n = 0;
			if (len <= name ||
			    strncasecmp(word, limits[i].name, name) != 0 ||
			    !read_number(word + name, len - name, UINT32_MAX,
			                 &n) ||
			    n == 0) {
				continue;
			}
			uint32_t value = (uint32_t)n;
			memcpy((char *)e + limits[i].offset, &value,
			       sizeof(value));
		}
	}
}

void
ehlo_add_line(struct ehlo *e, const char *line, size_t len)
{
	static const struct {
		const char *name;
		enum ehlo_flag flag;
	} names[] = {
		{ "PIPELINING", EHLO_PIPELINING },
		{ "8BITMIME", EHLO_8BITMIME },
		{ "SMTPUTF8", EHLO_SMTPUTF8 },
		{ "CHUNKING", EHLO_CHUNKING },
		{ "DSN", EHLO_DSN },
		{ "STARTTLS", EHLO_STARTTLS },
		{ "ENHANCEDSTATUSCODES", EHLO_ENHANCEDSTATUSCODES },
		{ "REQUIRETLS", EHLO_REQUIRETLS },
	};

	const char *pos = line;
	const char *end = line + len;
	const char *word;
	size_t word_len;

	if (!next_word(&pos, end, &word, &word_len)) {
		return;
	}
	if (word_is(word, word_len, "SIZE")) {
		add_size(e, pos, end);
		return;
	}
	if (word_is(word, word_len, "LIMITS")) {
		add_limits(e, pos, end);
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (word_is(word, word_len, names[i].name)) {
			e->flags |= names[i].flag;
			return;
		}
	}
}

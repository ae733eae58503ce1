/*
 * The tokens of Rich Text (RTF 1.9, "RTF Syntax"): braces, control words and
 * symbols, text. Nothing is known here of what they mean, but for \bin, whose
 * octets are no tokens.
 */
#include <string.h>

#include "base/hex.h"
#include "mime/rtf_private.h"

#define WORD_MAX     32 /* letters of a control word (RTF 1.9) */
#define NUMBER_MAX   1000000000
#define HEADER_WORDS 20 /* \fromhtml stands among the first ten tokens */

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Behind "\": a word, its number, one blank; of \bin also its octets. */
static void
read_word(const char *rtf, size_t len, size_t pos, struct rtf_token *t)
{
	bool minus = false;

	t->kind = RTF_WORD;
	t->word = rtf + pos;
	while (pos < len && is_letter(rtf[pos])) {
		pos++;
	}
	t->word_len = (size_t)(rtf + pos - t->word);
	if (t->word_len > WORD_MAX) {
		t->kind = RTF_BROKEN;
		return;
	}
	if (len - pos >= 2 && rtf[pos] == '-' && is_digit(rtf[pos + 1])) {
		minus = true;
		pos++;
	}
	while (pos < len && is_digit(rtf[pos])) {
		t->has_number = true;
		if (t->number < NUMBER_MAX / 10) {
			t->number = t->number * 10 + (rtf[pos] - '0');
		}
		pos++;
	}
	t->number = minus ? -t->number : t->number;
	if (pos < len && rtf[pos] == ' ') {
		pos++;
	}
	t->end = pos;
	if (t->word_len == 3 && memcmp(t->word, "bin", 3) == 0 &&
	    t->number > 0) {
		if ((size_t)t->number > len - pos) {
			t->kind = RTF_BROKEN;
			return;
		}
		t->end += (size_t)t->number;
	}
}

static void
read_control(const char *rtf, size_t len, size_t pos, struct rtf_token *t)
{
	if (pos == len) {
		t->kind = RTF_BROKEN;
		return;
	}
	if (is_letter(rtf[pos])) {
		read_word(rtf, len, pos, t);
		return;
	}
	t->word = rtf + pos;
	t->word_len = 1;
	t->kind = RTF_SYMBOL;
	t->end = pos + 1;
	if (rtf[pos] == '\'') {
		if (len - pos < 3 || hex_value(rtf[pos + 1]) < 0 ||
		    hex_value(rtf[pos + 2]) < 0) {
			t->kind = RTF_BROKEN;
			return;
		}
		t->kind = RTF_HEX;
		t->number =
			hex_value(rtf[pos + 1]) * 16 + hex_value(rtf[pos + 2]);
		t->end = pos + 3;
	} else if (rtf[pos] == '\r' && len - pos > 1 && rtf[pos + 1] == '\n') {
		t->end = pos + 2;
	}
}

enum octet {
	OCTET_ASCII = 0,
	OCTET_HIGH,
	OCTET_OTHER, /* ends a text */
};

static enum octet
octet_of(char c)
{
	static const uint8_t ends[128] = {
		['\0'] = 1, ['\r'] = 1, ['\n'] = 1,
		['\\'] = 1, ['{'] = 1,  ['}'] = 1,
	};
	unsigned char octet = (unsigned char)c;

	if (octet >= 0x80) {
		return OCTET_HIGH;
	}
	return ends[octet] != 0 ? OCTET_OTHER : OCTET_ASCII;
}

void
rtf_next_token(const char *rtf, size_t len, size_t pos, struct rtf_token *t)
{
	*t = (struct rtf_token){ .kind = RTF_END, .start = pos, .end = pos };
	if (pos == len) {
		return;
	}
	t->end = pos + 1;
	switch (rtf[pos]) {
	case '{':
		t->kind = RTF_OPEN;
		return;
	case '}':
		t->kind = RTF_CLOSE;
		return;
	case '\\':
		read_control(rtf, len, pos + 1, t);
		return;
	case '\r':
	case '\n':
	case '\0':
		t->kind = RTF_BREAK;
		return;
	default:
		break;
	}
	/* ASCII and other octets are tokens of their own: offsets within the
	 * former can be followed through. */
	t->kind = RTF_TEXT;
	while (t->end < len && octet_of(rtf[t->end]) == octet_of(rtf[pos])) {
		t->end++;
	}
}

bool
rtf_has_html(const char *rtf, size_t len)
{
	struct rtf_token t;
	size_t pos = 0;

	for (unsigned i = 0; i < HEADER_WORDS; i++) {
		rtf_next_token(rtf, len, pos, &t);
		if (t.kind == RTF_END || t.kind == RTF_BROKEN ||
		    t.kind == RTF_TEXT || t.kind == RTF_CLOSE ||
		    (t.kind == RTF_OPEN && pos > 0)) {
			return false;
		}
		if (t.kind == RTF_WORD && t.word_len == 8 &&
		    memcmp(t.word, "fromhtml", 8) == 0) {
			return !t.has_number || t.number != 0;
		}
		pos = t.end;
	}
	return false;
}

/*
 * Statuses: the phrase of each stage, and texts made fit to be logged, stored
 * and shown: one line of printable ASCII, capped, whoever spoke.
 */
#include "policy/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const phrases[] = {
	[STAGE_RESOLVE] = "looking up the next hop",
	[STAGE_CONNECT] = "connecting",
	[STAGE_GREETING] = "waiting for the greeting",
	[STAGE_EHLO] = "sending EHLO",
	[STAGE_STARTTLS] = "sending STARTTLS",
	[STAGE_HANDSHAKE] = "negotiating TLS",
	[STAGE_MAIL] = "sending MAIL FROM",
	[STAGE_RCPT] = "sending RCPT TO",
	[STAGE_DATA] = "sending DATA",
	[STAGE_CONTENT] = "sending the content",
	[STAGE_DOT] = "waiting for the final reply",
	[STAGE_RSET] = "sending RSET",
	[STAGE_QUIT] = "sending QUIT",
};

_Static_assert(sizeof(phrases) / sizeof(phrases[0]) == STAGE_QUIT + 1,
               "a phrase for each stage");

const char *
smtp_stage_phrase(enum smtp_stage s)
{
	return phrases[s];
}

/* class "." subject "." detail, RFC 3463 section 2 */
static bool
enhanced_valid(const char *s)
{
	size_t at = 1;

	if (s[0] != '2' && s[0] != '4' && s[0] != '5') {
		return false;
	}
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (s[at] != '.') {
			return false;
		}
		at++;
		while (s[at + digits] >= '0' && s[at + digits] <= '9') {
			digits++;
		}
		if (digits == 0 || digits > 3) {
			return false;
		}
		at += digits;
	}
	return s[at] == '\0';
}

static void
make_safe(char *s)
{
	size_t len = 0;

	for (; s[len] != '\0'; len++) {
		unsigned char c = (unsigned char)s[len];

		if (c == '\r' || c == '\n' || c == '\t') {
			s[len] = ' ';
		} else if (c < 0x20 || c > 0x7e) {
			s[len] = '?';
		}
	}
	while (len > 0 && s[len - 1] == ' ') {
		s[--len] = '\0';
	}
}

void
smtp_status_set(struct smtp_status *s, enum status_source source,
                enum smtp_stage stage, unsigned code, const char *enhanced,
                const char *fmt, ...)
{
	char text[STATUS_TEXT_MAX];
	va_list ap;

	/* The arguments may point into *s. */
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0) {
		text[0] = '\0';
	}
	va_end(ap);
	make_safe(text);

	s->source = source;
	s->stage = stage;
	s->code = (uint16_t)(code > UINT16_MAX ? 0 : code);
	if (enhanced != NULL && enhanced_valid(enhanced)) {
		/* "5.123.123" at most: fits, and may be s->enhanced itself. */
		memmove(s->enhanced, enhanced, strlen(enhanced) + 1);
	} else {
		s->enhanced[0] = '\0';
	}
	memcpy(s->text, text, sizeof(text));
	s->nothing_sent = stage < STAGE_CONTENT;
}

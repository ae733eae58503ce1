/*
 * Command lines and parameters: any octets give a value within its limits or
 * a fault with a code, never both, and nothing is read beyond the line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/receive/command.h"
#include "daemon/receive/password.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_fault(const struct command_fault *f)
{
	CHECK(f->code >= 400 && f->code < 600);
	CHECK(f->enhanced[0] == '0' + f->code / 100 && f->text[0] != '\0');
}

static void
check_within(const char *s, size_t n, const struct command_line *l)
{
	CHECK(s >= l->args && n <= l->args_len);
	CHECK((size_t)(s - l->args) + n <= l->args_len);
}

static void
try_mail(const struct command_line *l, unsigned offers)
{
	struct command_mail m;
	struct command_fault f = { 0 };

	if (command_parse_mail(l->args, l->args_len, offers, &m, &f) == -1) {
		check_fault(&f);
		return;
	}
	CHECK(strlen(m.sender.text) < sizeof(m.sender.text));
	CHECK(m.null_sender == (m.sender.text[0] == '\0'));
	CHECK(!m.sender.utf8 || m.smtputf8);
	CHECK(!m.require_tls || (offers & COMMAND_OFFER_REQUIRETLS) != 0);
	if (m.envid != NULL) {
		check_within(m.envid, m.envid_len, l);
		CHECK(command_is_xtext(m.envid, m.envid_len));
	}
}

static void
try_rcpt(const struct command_line *l, bool utf8)
{
	struct command_rcpt r;
	struct command_fault f = { 0 };

	if (command_parse_rcpt(l->args, l->args_len, COMMAND_OFFER_ESMTP, utf8,
	                       &r, &f) == -1) {
		check_fault(&f);
		return;
	}
	CHECK(r.recipient.text[0] != '\0');
	CHECK(!r.recipient.utf8 || utf8);
	if (r.orcpt != NULL) {
		check_within(r.orcpt, r.orcpt_len, l);
		CHECK(r.orcpt_len <= 500);
		CHECK(memchr(r.orcpt, ';', r.orcpt_len) != NULL);
	}
}

static void
try_rest(const struct command_line *l)
{
	struct command_fault f = { 0 };
	struct password p;
	char out[64];
	uint64_t n = 0;
	size_t len = 0;
	bool last = false;

	if (command_parse_bdat(l->args, l->args_len, &n, &last, &f) == -1) {
		check_fault(&f);
	} else {
		CHECK(n <= UINT64_C(1) << 62);
	}
	if (command_parse_name(l->args, l->args_len, &len, &f) == -1) {
		check_fault(&f);
	} else {
		CHECK(len <= COMMAND_NAME_MAX);
	}
	if (password_decode(l->args, l->args_len, out, sizeof(out), &len) ==
	    0) {
		CHECK(len <= sizeof(out));
		if (password_parse_plain(out, len, &p) == 0) {
			CHECK(strlen(p.user) > 0 && strlen(p.secret) > 0);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1); /* so that ASan sees the end */
	size_t at = 0;
	size_t n = 0;

	CHECK(copy != NULL);
	memcpy(copy, data, size);
	copy = realloc(copy, size > 0 ? size : 1);
	CHECK(copy != NULL);
	while (command_find(copy + at, size - at, COMMAND_LINE_MAX, &n) ==
	       COMMAND_FIND_LINE) {
		struct command_line l = { 0 };
		struct command_fault f = { 0 };

		CHECK(n <= COMMAND_LINE_MAX);
		if (command_split(copy + at, n, &l, &f) == -1) {
			check_fault(&f);
		} else {
			CHECK(l.verb < COMMAND_VERBS);
			try_mail(&l, COMMAND_OFFER_ESMTP);
			try_mail(&l, COMMAND_OFFER_ESMTP | COMMAND_OFFER_AUTH);
			try_mail(&l, COMMAND_OFFER_ESMTP |
			                     COMMAND_OFFER_REQUIRETLS);
			try_mail(&l, 0);
			try_rcpt(&l, false);
			try_rcpt(&l, true);
			try_rest(&l);
		}
		at += n + 2;
	}
	if (size > at) {
		bool ended = false;

		n = command_skip(copy + at, size - at, &ended);
		CHECK(n <= size - at);
	}
	free(copy);
	return 0;
}

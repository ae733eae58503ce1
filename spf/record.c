#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "spf/checker.h"
#include "spf/term.h"

/*
 * Records for those who publish them: which of a name's TXT records it is, and
 * what is wrong with it, by the term. Pure.
 */

#define QUOTED_MAX 72
#define HEAD_MAX   24 /* octets in which a misspelt version is looked for */

__attribute__((format(printf, 2, 3))) static void
say(struct spf_record *out, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(out->text, sizeof(out->text), format, ap);
	va_end(ap);
}

/* "spf1 ...", "v=spf 1 ...", " v=spf1 ...", "v=spf1; ...", "\"v=spf1": meant
 * to be one. */
static bool
is_misspelt(const uint8_t *s, size_t len)
{
	char head[HEAD_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < len && i < HEAD_MAX; i++) {
		if (isalnum(s[i])) {
			head[n++] = (char)tolower(s[i]);
		}
	}
	head[n] = '\0';
	return strncmp(head, "vspf", 4) == 0 || strncmp(head, "spf1", 4) == 0 ||
	       strncmp(head, "v1spf", 5) == 0 || strncmp(head, "vsfp", 4) == 0;
}

static enum spf_record_verdict
no_record(const struct dns_answer *a, struct spf_record *out)
{
	char quoted[QUOTED_MAX];

	say(out, "no TXT record begins with \"v=spf1 \"");
	for (size_t i = 0; a->status == DNS_OK && i < a->records_n; i++) {
		const struct dns_record *r = &a->records[i];

		if (is_misspelt(r->data, r->data_len)) {
			say(out,
			    "the record \"%s\" does not begin with "
			    "\"v=spf1 \"",
			    spf_safe(quoted, sizeof(quoted), r->data,
			             r->data_len));
			break;
		}
	}
	return out->verdict = SPF_RECORD_NONE;
}

/* What is of good syntax, and hardly meant; of several the first counts. */
struct advice {
	struct spf_term all; /* len 0: none yet */
	struct spf_term behind;
	struct spf_term modifier; /* named as a mechanism is: "ip4=" */
	bool second_all;
	bool redirect;
	bool ptr;
	unsigned counted;
};

static bool
is_mechanism(const struct spf_term *t)
{
	static const char *const names[] = {
		"include", "a", "mx", "ptr", "ip4", "ip6", "exists", "all"
	};
	size_t len = (size_t)(t->value - t->text) - 1;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == len &&
		    strncasecmp(t->text, names[i], len) == 0) {
			return true;
		}
	}
	return false;
}

static void
note(struct advice *n, const struct spf_term *t)
{
	switch (t->kind) {
	case SPF_TERM_EXP:
		return;
	case SPF_TERM_MODIFIER:
		if (n->modifier.len == 0 && is_mechanism(t)) {
			n->modifier = *t;
		}
		return;
	case SPF_TERM_REDIRECT:
		n->redirect = true;
		return;
	case SPF_TERM_ALL:
		if (n->all.len == 0) {
			n->all = *t;
			return;
		}
		n->second_all = true;
		return;
	case SPF_TERM_PTR:
		n->ptr = true;
		n->counted++;
		break;
	case SPF_TERM_INCLUDE:
	case SPF_TERM_A:
	case SPF_TERM_MX:
	case SPF_TERM_EXISTS:
		n->counted++;
		break;
	case SPF_TERM_IP4:
	case SPF_TERM_IP6:
		break;
	}
	if (n->all.len > 0 && n->behind.len == 0) {
		n->behind = *t;
	}
}

static void
advise(const struct advice *n, struct spf_record *out)
{
	char quoted[QUOTED_MAX];

	if (n->modifier.len > 0) {
		say(out, "the term \"%s\" does nothing; is a colon meant?",
		    spf_safe(quoted, sizeof(quoted), n->modifier.text,
		             n->modifier.len));
	} else if (n->second_all) {
		say(out, "there are two \"all\"; only the first is reached");
	} else if (n->behind.len > 0) {
		say(out,
		    "the term \"%s\" stands behind \"all\" and is never "
		    "reached",
		    spf_safe(quoted, sizeof(quoted), n->behind.text,
		             n->behind.len));
	} else if (n->all.len > 0 && n->redirect) {
		say(out, "\"redirect\" is never used beside \"all\"");
	} else if (n->all.len > 0 && n->all.qualifier == '+') {
		say(out, "\"%.*s\" allows every host to send", (int)n->all.len,
		    n->all.text);
	} else if (n->counted + (n->redirect ? 1 : 0) > SPF_LOOKUPS_MAX) {
		say(out, "%u terms need a look-up; receivers allow %d",
		    n->counted + (n->redirect ? 1 : 0), SPF_LOOKUPS_MAX);
	} else if (n->all.len == 0 && !n->redirect) {
		say(out, "it ends without \"all\" or \"redirect\": nothing is "
		         "said of other hosts");
	} else if (n->ptr) {
		say(out, "\"ptr\" is slow and unsafe and should not be used "
		         "(RFC 7208 section 5.5)");
	}
}

static enum spf_record_verdict
check(struct spf_record *out)
{
	struct advice n = { 0 };
	struct spf_terms w;
	struct spf_term t;
	int r;

	spf_terms_begin(&w, out->value, out->len);
	while ((r = spf_terms_next(&w, &t, out->text)) == 1) {
		note(&n, &t);
	}
	if (r == -1) {
		return out->verdict = SPF_RECORD_SYNTAX;
	}
	advise(&n, out);
	return out->verdict = SPF_RECORD_GOOD;
}

enum spf_record_verdict
spf_record_of(const struct dns_answer *a, struct spf_record *out)
{
	bool found = false;

	memset(out, 0, sizeof(*out));
	switch (a->status) {
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		spf_safe(out->text, sizeof(out->text), a->text,
		         strlen(a->text));
		return out->verdict = SPF_RECORD_UNKNOWN;
	case DNS_OK:
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		break;
	}
	for (size_t i = 0; a->status == DNS_OK && i < a->records_n; i++) {
		const struct dns_record *r = &a->records[i];

		if (!spf_terms_version(r->data, r->data_len)) {
			continue;
		}
		if (found) {
			say(out, "there are several SPF records; receivers "
			         "take that for an error");
			return out->verdict = SPF_RECORD_SEVERAL;
		}
		found = true;
		out->value = (const char *)r->data;
		out->len = r->data_len;
	}
	return found ? check(out) : no_record(a, out);
}

/* The terms of a record that is well-formed up to there. */
static bool
next_good(struct spf_terms *w, struct spf_term *t)
{
	char why[SPF_TEXT_MAX];

	return spf_terms_next(w, t, why) == 1;
}

bool
spf_record_includes(const struct spf_record *r, const char *domain)
{
	size_t len = strlen(domain);
	struct spf_terms w;
	struct spf_term t;

	if (r->verdict != SPF_RECORD_GOOD || r->value == NULL) {
		return false;
	}
	if (len > 0 && domain[len - 1] == '.') {
		len--;
	}
	spf_terms_begin(&w, r->value, r->len);
	while (next_good(&w, &t)) {
		size_t n = t.value_len;

		if (t.kind == SPF_TERM_ALL) {
			break; /* what stands behind it is not reached */
		}
		if (t.kind != SPF_TERM_INCLUDE) {
			continue;
		}
		if (t.value[n - 1] == '.') {
			n--;
		}
		if (n == len && strncasecmp(t.value, domain, n) == 0) {
			return true;
		}
	}
	return false;
}

const char *
spf_record_all(const struct spf_record *r)
{
	struct spf_terms w;
	struct spf_term t;

	if (r->verdict != SPF_RECORD_GOOD || r->value == NULL) {
		return NULL;
	}
	spf_terms_begin(&w, r->value, r->len);
	while (next_good(&w, &t)) {
		if (t.kind == SPF_TERM_ALL) {
			return t.qualifier == '-'   ? "-all"
			       : t.qualifier == '~' ? "~all"
			       : t.qualifier == '?' ? "?all"
			                            : "+all";
		}
	}
	return NULL;
}

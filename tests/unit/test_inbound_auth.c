/*
 * What a dns_authentication_inbound policy does with results: every check by
 * itself, the most severe action of the three, codes of RFC 7372.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/policy.h"
#include "policy/inbound_auth.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

#define NOTHING "take_no_action"
#define IGNORE  "ignore_managed_sender"
#define HOLD    "hold"
#define REJECT  "reject"
#define HONOUR  "honour_dmarc"

/* Signatures: a letter each. */
static size_t
signatures(const char *s, struct dkim_verdict *out)
{
	static const char letters[] = "npfoute"; /* as the enumeration */
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		out[i].result =
			(enum dkim_result)(strchr(letters, s[i]) - letters);
	}
	return n;
}

struct row {
	const char *policy[4]; /* spf_fail, spf_softfail, dkim_fail,
	                          dmarc_fail */
	enum spf_result spf;
	const char *dkim;
	enum dmarc_result dmarc;
	enum dmarc_policy requested;
	enum inbound_auth_action action;
	const char *reason;
	const char *enhanced;
};

#define ALL(word)                                                              \
	{                                                                      \
		word, word, word, word                                         \
	}
#define ACCEPT INBOUND_AUTH_ACCEPT, NULL, NULL

/* clang-format off */
static const struct row rows[] = {
	/* The default of the configuration. */
	{ { NOTHING, NOTHING, NOTHING, HONOUR },
	  SPF_FAIL, "f", DMARC_NONE, DMARC_POLICY_NONE, ACCEPT },
	{ { NOTHING, NOTHING, NOTHING, HONOUR },
	  SPF_FAIL, "f", DMARC_FAIL, DMARC_POLICY_NONE, ACCEPT },
	{ { NOTHING, NOTHING, NOTHING, HONOUR },
	  SPF_FAIL, "f", DMARC_FAIL, DMARC_POLICY_QUARANTINE,
	  INBOUND_AUTH_HOLD, "dmarc", NULL },
	{ { NOTHING, NOTHING, NOTHING, HONOUR },
	  SPF_PASS, "p", DMARC_FAIL, DMARC_POLICY_REJECT,
	  INBOUND_AUTH_REJECT, "dmarc", "5.7.1" },
	{ { NOTHING, NOTHING, NOTHING, HONOUR },
	  SPF_FAIL, "f", DMARC_PASS, DMARC_POLICY_REJECT, ACCEPT },
	/* Only fail acts; temperror never does. */
	{ ALL(REJECT), SPF_NONE, "", DMARC_NONE, DMARC_POLICY_REJECT, ACCEPT },
	{ ALL(REJECT), SPF_NEUTRAL, "", DMARC_NONE, DMARC_POLICY_NONE, ACCEPT },
	{ ALL(REJECT), SPF_PASS, "p", DMARC_PASS, DMARC_POLICY_NONE, ACCEPT },
	{ ALL(REJECT), SPF_TEMPERROR, "t", DMARC_TEMPERROR,
	  DMARC_POLICY_REJECT, ACCEPT },
	{ ALL(REJECT), SPF_PERMERROR, "", DMARC_PERMERROR,
	  DMARC_POLICY_REJECT, ACCEPT },
	/* SPF. */
	{ ALL(REJECT), SPF_FAIL, "p", DMARC_PASS, DMARC_POLICY_NONE,
	  INBOUND_AUTH_REJECT, "spf", "5.7.23" },
	{ { HOLD, REJECT, REJECT, REJECT }, SPF_FAIL, "", DMARC_NONE,
	  DMARC_POLICY_NONE, INBOUND_AUTH_HOLD, "spf", NULL },
	{ { REJECT, IGNORE, REJECT, REJECT }, SPF_SOFTFAIL, "", DMARC_NONE,
	  DMARC_POLICY_NONE, INBOUND_AUTH_IGNORE_SENDER, "spf", NULL },
	{ { NOTHING, REJECT, NOTHING, NOTHING }, SPF_SOFTFAIL, "", DMARC_NONE,
	  DMARC_POLICY_NONE, INBOUND_AUTH_REJECT, "spf", "5.7.23" },
	/* DKIM: signatures, and none of them passes or might have. */
	{ ALL(REJECT), SPF_PASS, "f", DMARC_PASS, DMARC_POLICY_NONE,
	  INBOUND_AUTH_REJECT, "dkim", "5.7.20" },
	{ ALL(HOLD), SPF_PASS, "fouef", DMARC_PASS, DMARC_POLICY_NONE,
	  INBOUND_AUTH_HOLD, "dkim", NULL },
	{ ALL(REJECT), SPF_PASS, "ffp", DMARC_PASS, DMARC_POLICY_NONE, ACCEPT },
	{ ALL(REJECT), SPF_PASS, "pf", DMARC_PASS, DMARC_POLICY_NONE, ACCEPT },
	{ ALL(REJECT), SPF_PASS, "ftf", DMARC_PASS, DMARC_POLICY_NONE, ACCEPT },
	/* DMARC by our own words. */
	{ ALL(IGNORE), SPF_PASS, "p", DMARC_FAIL, DMARC_POLICY_REJECT,
	  INBOUND_AUTH_IGNORE_SENDER, "dmarc", NULL },
	{ ALL(REJECT), SPF_PASS, "p", DMARC_FAIL, DMARC_POLICY_NONE,
	  INBOUND_AUTH_REJECT, "dmarc", "5.7.1" },
	{ ALL(NOTHING), SPF_FAIL, "f", DMARC_FAIL, DMARC_POLICY_REJECT,
	  ACCEPT },
	/* The most severe, and the first of equals. */
	{ { IGNORE, NOTHING, HOLD, REJECT }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_NONE, INBOUND_AUTH_REJECT, "dmarc", "5.7.1" },
	{ { HOLD, NOTHING, IGNORE, HONOUR }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_NONE, INBOUND_AUTH_HOLD, "spf", NULL },
	{ { HOLD, NOTHING, HOLD, HONOUR }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_QUARANTINE, INBOUND_AUTH_HOLD, "spf", NULL },
	/* Several reject: RFC 7372 section 3.3. */
	{ { REJECT, NOTHING, REJECT, HOLD }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_NONE, INBOUND_AUTH_REJECT, "spf", "5.7.26" },
	{ { REJECT, NOTHING, HOLD, HONOUR }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_REJECT, INBOUND_AUTH_REJECT, "spf", "5.7.26" },
	{ { HOLD, NOTHING, REJECT, HONOUR }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_REJECT, INBOUND_AUTH_REJECT, "dkim", "5.7.26" },
	{ ALL(REJECT), SPF_FAIL, "f", DMARC_FAIL, DMARC_POLICY_REJECT,
	  INBOUND_AUTH_REJECT, "spf", "5.7.26" },
	/* Words that the configuration does not have. */
	{ { NULL, NULL, NULL, NULL }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_REJECT, ACCEPT },
	{ ALL("x"), SPF_FAIL, "f", DMARC_FAIL, DMARC_POLICY_REJECT, ACCEPT },
	{ { HONOUR, HONOUR, HONOUR, NOTHING }, SPF_FAIL, "f", DMARC_FAIL,
	  DMARC_POLICY_REJECT, ACCEPT },
};

/* clang-format on */

static void
check(size_t i, const struct inbound_auth_answer *a)
{
	const struct row *r = &rows[i];
	bool reject = r->action == INBOUND_AUTH_REJECT;

	if (a->action != r->action) {
		fail_msg("row %zu: action %d", i, (int)a->action);
	}
	if (r->reason == NULL ? a->reason != NULL
	                      : strcmp(a->reason, r->reason) != 0) {
		fail_msg("row %zu: reason %s", i, a->reason);
	}
	assert_int_equal(a->code, reject ? 550 : 0);
	assert_int_equal(a->text != NULL, reject);
	assert_int_equal(a->enhanced != NULL, reject);
	if (reject) {
		assert_string_equal(a->enhanced, r->enhanced);
	}
}

static void
actions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct row *r = &rows[i];
		const struct conf_policy p = { .spf_fail = r->policy[0],
			                       .spf_softfail = r->policy[1],
			                       .dkim_fail = r->policy[2],
			                       .dmarc_fail = r->policy[3] };
		struct auth_facts f = { .spf.result = r->spf,
			                .dmarc.result = r->dmarc,
			                .dmarc.requested = r->requested };
		struct inbound_auth_answer a;

		f.dkim_n = signatures(r->dkim, f.dkim);
		memset(&a, 0xff, sizeof(a));
		inbound_auth_decide(&p, &f, &a);
		check(i, &a);
		memset(&a, 0xff, sizeof(a));
		inbound_auth_decide(NULL, &f, &a);
		assert_int_equal(a.action, INBOUND_AUTH_ACCEPT);
		assert_null(a.reason);
	}
}

/* The texts name the checks. */
static void
texts(void **state)
{
	static const char *const names[] = { "SPF", "DKIM", "DMARC" };

	(void)state;
	for (unsigned i = 1; i < 8; i++) {
		const struct conf_policy p = {
			.spf_fail = (i & 1) != 0 ? REJECT : NOTHING,
			.dkim_fail = (i & 2) != 0 ? REJECT : NOTHING,
			.dmarc_fail = (i & 4) != 0 ? HONOUR : NOTHING,
		};
		struct auth_facts f = {
			.spf.result = SPF_FAIL,
			.dkim_n = 1,
			.dmarc.result = DMARC_FAIL,
			.dmarc.requested = DMARC_POLICY_REJECT,
		};
		struct inbound_auth_answer a;

		f.dkim[0].result = DKIM_RESULT_FAIL;
		inbound_auth_decide(&p, &f, &a);
		for (unsigned k = 0; k < 3; k++) {
			assert_int_equal(strstr(a.text, names[k]) != NULL,
			                 (i & 1U << k) != 0);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(actions),
		cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

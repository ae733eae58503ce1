/*
 * The action of a dns_authentication_inbound policy. Every check acts by
 * itself: a message that passes DMARC may still be refused for its SPF, when
 * the policy says so. What DNS did not say (temperror) never acts.
 */
#include "policy/inbound_auth.h"

#include <string.h>

#include "conf/policy.h"

#define CHECKS 3

enum check {
	CHECK_SPF = 0,
	CHECK_DKIM,
	CHECK_DMARC,
};

static enum inbound_auth_action
parse_action(const char *word)
{
	if (word == NULL) {
		return INBOUND_AUTH_ACCEPT;
	}
	if (strcmp(word, "reject") == 0) {
		return INBOUND_AUTH_REJECT;
	}
	if (strcmp(word, "hold") == 0) {
		return INBOUND_AUTH_HOLD;
	}
	if (strcmp(word, "ignore_managed_sender") == 0) {
		return INBOUND_AUTH_IGNORE_SENDER;
	}
	return INBOUND_AUTH_ACCEPT;
}

static enum inbound_auth_action
spf_action(const struct conf_policy *p, const struct spf_report *r)
{
	switch (r->result) {
	case SPF_FAIL:
		return parse_action(p->spf_fail);
	case SPF_SOFTFAIL:
		return parse_action(p->spf_softfail);
	case SPF_NONE:
	case SPF_NEUTRAL:
	case SPF_PASS:
	case SPF_TEMPERROR:
	case SPF_PERMERROR:
		break;
	}
	return INBOUND_AUTH_ACCEPT;
}

/* Signatures, and none of them passes, or might have passed. */
static enum inbound_auth_action
dkim_action(const struct conf_policy *p, const struct auth_facts *f)
{
	if (f->dkim_n == 0) {
		return INBOUND_AUTH_ACCEPT;
	}
	for (size_t i = 0; i < f->dkim_n && i < DKIM_VERIFY_MAX; i++) {
		if (f->dkim[i].result == DKIM_RESULT_PASS ||
		    f->dkim[i].result == DKIM_RESULT_TEMPERROR) {
			return INBOUND_AUTH_ACCEPT;
		}
	}
	return parse_action(p->dkim_fail);
}

static enum inbound_auth_action
dmarc_action(const struct conf_policy *p, const struct dmarc_report *r)
{
	if (r->result != DMARC_FAIL || p->dmarc_fail == NULL) {
		return INBOUND_AUTH_ACCEPT;
	}
	if (strcmp(p->dmarc_fail, "honour_dmarc") != 0) {
		return parse_action(p->dmarc_fail);
	}
	switch (r->requested) {
	case DMARC_POLICY_NONE:
		return INBOUND_AUTH_ACCEPT;
	case DMARC_POLICY_QUARANTINE:
		return INBOUND_AUTH_HOLD;
	case DMARC_POLICY_REJECT:
		return INBOUND_AUTH_REJECT;
	}
	return INBOUND_AUTH_ACCEPT;
}

struct reply {
	const char *enhanced;
	const char *text;
};

/* By the checks that reject, a bit each. */
static const struct reply replies[1U << CHECKS] = {
	[1] = { "5.7.23", "The sender's domain does not allow this client "
	                  "(SPF)" },
	[2] = { "5.7.20", "No signature of the message passes (DKIM)" },
	[4] = { "5.7.1", "The sender's domain does not allow this message "
	                 "(DMARC)" },
	[3] = { "5.7.26", "The sender failed several checks (SPF, DKIM)" },
	[5] = { "5.7.26", "The sender failed several checks (SPF, DMARC)" },
	[6] = { "5.7.26", "The sender failed several checks (DKIM, DMARC)" },
	[7] = { "5.7.26", "The sender failed several checks (SPF, DKIM, "
	                  "DMARC)" },
};

void
inbound_auth_decide(const struct conf_policy *p, const struct auth_facts *f,
                    struct inbound_auth_answer *out)
{
	static const char *const names[CHECKS] = { "spf", "dkim", "dmarc" };
	enum inbound_auth_action actions[CHECKS];
	unsigned rejecting = 0;

	*out = (struct inbound_auth_answer){ .action = INBOUND_AUTH_ACCEPT };
	if (p == NULL) {
		return;
	}
	actions[CHECK_SPF] = spf_action(p, &f->spf);
	actions[CHECK_DKIM] = dkim_action(p, f);
	actions[CHECK_DMARC] = dmarc_action(p, &f->dmarc);
	for (unsigned i = 0; i < CHECKS; i++) {
		if (actions[i] > out->action) {
			out->action = actions[i];
			out->reason = names[i];
		}
		if (actions[i] == INBOUND_AUTH_REJECT) {
			rejecting |= 1U << i;
		}
	}
	if (rejecting != 0) {
		out->code = 550;
		out->enhanced = replies[rejecting].enhanced;
		out->text = replies[rejecting].text;
	}
}

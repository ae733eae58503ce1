#include "policy/decision.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "conf/policy_private.h"

/*
 * Decisions: the winners of every type, and what follows from them.
 */

#define JSON_MAX (16 * 1024)

static bool
learns(const struct decision_input *in, const struct conf_policy *p)
{
	if (!in->outbound || p == NULL ||
	    strcmp(p->option, "general_aal_entries") != 0) {
		return false;
	}
	switch (in->mail) {
	case DECISION_MAIL_PERSON:
		return true;
	case DECISION_MAIL_LIST:
		return p->list_mail;
	case DECISION_MAIL_AUTOMATIC:
		return false;
	}
	return false;
}

/* Who is excluded is so from every layout. */
static const struct conf_policy *
edits(const struct decision_input *in, const struct conf_policy *const *winners)
{
	const struct conf_policy *p = winners[CONF_POLICY_STATIONERY];

	if (p == NULL || !in->may_edit ||
	    winners[CONF_POLICY_STATIONERY_EXCLUSION] != NULL) {
		return NULL;
	}
	if (in->mail == DECISION_MAIL_AUTOMATIC && !p->automatic_mail) {
		return NULL;
	}
	return p;
}

void
decision_make(const struct decision_input *in, struct decision *out)
{
	const struct conf_policy *const *winners = out->answer.winners;

	select_decide(in->select, &in->question, &out->answer);
	tls_need_of_policy(winners[CONF_POLICY_SECURE_DELIVERY], &out->need);
	out->need.require_tls = in->require_tls;
	out->need.optional = in->optional && !in->require_tls;
	out->learn = learns(in, winners[CONF_POLICY_AUTO_ALLOW_CREATION]);
	out->sign =
		in->may_sign ? winners[CONF_POLICY_DNS_AUTHENTICATION] : NULL;
	out->stationery = edits(in, winners);
}

const char *
decision_tls_text(const struct decision *d, struct arena *a)
{
	return tls_need_format(&d->need, a);
}

/* No name has a control character in it: the loader refuses those. */
const char *
decision_sign_text(const struct decision *d, struct arena *a)
{
	const char *text = NULL;

	if (d->sign == NULL) {
		return NULL;
	}
	for (size_t i = 0; i < d->sign->definitions_n; i++) {
		const char *name = d->sign->definitions[i];

		text = text == NULL ? arena_strdup(a, name)
		                    : arena_printf(a, "%s\n%s", text, name);
	}
	return text;
}

const char *
decision_policy_name(const struct conf_policy *p, char out[160])
{
	if (p->narrative[0] != '\0') {
		(void)snprintf(out, 160, "%s", p->narrative);
	} else {
		(void)snprintf(out, 160, "%s in line %u",
		               conf_policy_names[p->type], p->line);
	}
	return out;
}

const char *
decision_json(const struct decision *d, struct arena *a)
{
	const char *separator = "{";
	const char *text = NULL;
	char name[160];
	struct buf b;

	buf_init(&b, JSON_MAX);
	for (size_t i = 0; i < CONF_POLICY_TYPES; i++) {
		const struct conf_policy *p = d->answer.winners[i];

		if (p == NULL) {
			continue;
		}
		buf_puts(&b, separator);
		json_put_text(&b, conf_policy_names[i]);
		buf_puts(&b, ":");
		json_put_text(&b, decision_policy_name(p, name));
		separator = ",";
	}
	if (buf_len(&b) > 0) {
		buf_puts(&b, "}");
		text = arena_strndup(a, buf_ptr(&b), buf_len(&b));
	}
	buf_clear(&b);
	return text;
}

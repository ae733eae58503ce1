#ifndef SORTIE_POLICY_DECISION_H
#define SORTIE_POLICY_DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/select.h"
#include "policy/tls_level.h"

/*
 * What is done with the mail for one recipient: decided once, at the end of
 * data, from one snapshot (design sections 1.3, 5), stored with the recipient,
 * and not touched by a reload. Pure.
 */

struct arena;

enum decision_mail { /* who wrote it, as its header tells */
	DECISION_MAIL_PERSON = 0,
	DECISION_MAIL_LIST,      /* of a mailing list */
	DECISION_MAIL_AUTOMATIC, /* null sender, auto-reply, bulk */
};

struct decision_input {
	const struct select *select;
	/* recipient is set for each question. */
	struct select_question question;
	enum decision_mail mail;
	bool outbound; /* from inside to outside */
	bool may_sign; /* its sender is proved, or it is a report of ours */
	bool may_edit; /* its sender is proved, and it is no report of ours */
	bool require_tls; /* MAIL had REQUIRETLS */
	bool optional;    /* "TLS-Required: No" */
};

struct decision {
	struct select_answer answer;
	struct tls_need need;
	bool learn; /* the recipient becomes an Auto sender, once delivered */
	/* Its definitions sign the mail; NULL: it goes out unsigned. The winner
	 * of a type says who won by scopes, this says what is done: mail that
	 * may not be signed has a winner and no signature. */
	const struct conf_policy *sign;
	/* Its layout is put round the mail; NULL: none. Exclusion, mail from
	 * outside, our reports and (by the policy) automatic mail: a winner and
	 * no layout. */
	const struct conf_policy *stationery;
};

void decision_make(const struct decision_input *in, struct decision *out);

/* For the store, all in the arena: the need (NULL: none), the winners by type
 * as JSON, "{\"secure_delivery\":\"Bank\"}" (NULL: no policy won), and the
 * names of the definitions that sign, LF between them (NULL: unsigned). */
const char *decision_tls_text(const struct decision *d, struct arena *a);
const char *decision_json(const struct decision *d, struct arena *a);
const char *decision_sign_text(const struct decision *d, struct arena *a);

/* The name of a policy for people: its narrative, else type and line. */
const char *decision_policy_name(const struct conf_policy *p, char out[160]);

#endif

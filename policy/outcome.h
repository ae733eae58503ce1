#ifndef SORTIE_POLICY_OUTCOME_H
#define SORTIE_POLICY_OUTCOME_H

#include <stdbool.h>
#include <stdio.h>

#include "policy/status.h"

/*
 * What a status means for the mail: the one table (RFC 5321 sections 4.2,
 * 4.5.4, 5.1; checklist C29-C37, B49, B50). Pure. Printed by
 * "sortied -T outcomes" for the man page.
 */

enum outcome_action {
	OUTCOME_DELIVERED = 0,
	OUTCOME_NEXT_HOST, /* try the next address or MX; none left: retry */
	OUTCOME_RETRY,     /* later, by the schedule */
	OUTCOME_BOUNCE,    /* permanent: the sender is told */
	OUTCOME_HOLD,      /* until an operator lets it go */
};

enum outcome_scope {
	OUTCOME_RECIPIENT = 0, /* this recipient only */
	OUTCOME_MESSAGE,       /* all recipients of this transaction */
	OUTCOME_HOST,          /* all that would go to this host now */
	OUTCOME_DESTINATION,   /* all that waits for this next hop */
};

struct outcome {
	enum outcome_action action;
	enum outcome_scope scope;
};

struct outcome outcome_decide(const struct smtp_status *s);

const char *outcome_action_word(enum outcome_action a);
const char *outcome_scope_word(enum outcome_scope s);
int outcome_print_table(FILE *out);

#endif

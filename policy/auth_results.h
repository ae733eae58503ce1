#ifndef SORTIE_POLICY_AUTH_RESULTS_H
#define SORTIE_POLICY_AUTH_RESULTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "dkim/verifier.h"
#include "policy/dmarc.h"
#include "spf/checker.h"

/*
 * What was found out about who sent a message, as the field
 * Authentication-Results (RFC 8601) and as JSON for the record; and the
 * removal of fields that claim to be ours (checklist B44). Pure.
 */

struct auth_facts {
	const char *sender; /* reverse-path */
	const char *helo;
	const char *from; /* the author's domain; NULL: none that counts */
	struct spf_report spf;
	struct dkim_verdict dkim[DKIM_VERIFY_MAX];
	size_t dkim_n;
	struct dmarc_report dmarc;
};

/* "Authentication-Results: gw.example; spf=pass ...\r\n", folded. Every text
 * of others is quoted or left out. */
void auth_results_field(const struct auth_facts *f, const char *authserv_id,
                        struct buf *out);
void auth_results_json(const struct auth_facts *f, struct buf *out);

/*
 * Appends the header block to out without fields Authentication-Results whose
 * authserv-id is ours, however written (comments, quoted, encoded case, with
 * or without version), and such whose id no reader could be sure of.
 * Everything else stays octet for octet. The number that went.
 */
size_t auth_results_strip(const char *header, size_t len,
                          const char *authserv_id, struct buf *out);

/* Are there any? The header need not be copied then. */
bool auth_results_forged(const char *header, size_t len,
                         const char *authserv_id);

#endif

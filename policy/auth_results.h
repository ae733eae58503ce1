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
	const char *sender; /* reverse-path; NULL: SPF was not checked */
	const char *helo;
	const char *from; /* the author's domain; NULL: none that counts */
	struct spf_report spf;
	struct dkim_verdict dkim[DKIM_VERIFY_MAX];
	size_t dkim_n;
	struct dmarc_report dmarc;
};

/* What DMARC is to be asked about the facts that SPF and DKIM gave: domains
 * that passed, and those for which DNS gave no answer. Points into both. */
struct auth_dmarc {
	struct dmarc_query query;
	const char *passed[DKIM_VERIFY_MAX];
	const char *unsure[DKIM_VERIFY_MAX];
};

void auth_facts_dmarc(const struct auth_facts *f, struct auth_dmarc *out);

/* Octets that the texts below can have at most: out must have room. */
#define AUTH_RESULTS_FIELD_MAX 16384
#define AUTH_RESULTS_JSON_MAX  32768

/*
 * "Authentication-Results: gw.example;\r\n\tspf=pass ...\r\n", of lines of
 * at most 78 octets where no single value is longer, ASCII only: domains are
 * A-labels (RFC 8616), a local part of other characters is left out.
 * Every text of others is quoted or left out. "; none" when neither a sender
 * nor an author nor a signature is known.
 */
void auth_results_field(const struct auth_facts *f, const char *authserv_id,
                        struct buf *out);
/* {"spf": {"result", "identity", "domain", ...}, "dkim": [{"result", ...}],
 * "dmarc": {"result", "policy", ...}}; what is unknown is not there. */
void auth_results_json(const struct auth_facts *f, struct buf *out);

/*
 * Appends the header block to out (with room for len) without fields that say
 * that we checked this message:
 *
 * - Authentication-Results and ARC-Authentication-Results whose authserv-id is
 *   ours, however written (comments, quotes, letter case, trailing dot,
 *   U-labels, with or without version), and such whose id two readers might
 *   take differently: no grammar holds, or ours stands in a comment before
 *   another (RFC 8601 section 5);
 * - Received-SPF that names us as receiver, in receiver= or as the first word
 *   of a comment (RFC 7208 section 9.1).
 *
 * A field name counts that becomes one of these without blanks and control
 * characters. Everything else stays octet for octet. The number that went.
 */
size_t auth_results_strip(const char *header, size_t len,
                          const char *authserv_id, struct buf *out);

/* Are there any? The header need not be copied then. */
bool auth_results_forged(const char *header, size_t len,
                         const char *authserv_id);

#endif

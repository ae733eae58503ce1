#ifndef SORTIE_DAEMON_DELIVER_RENDER_H
#define SORTIE_DAEMON_DELIVER_RENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/deliver/ehlo.h"
#include "policy/status.h"

/*
 * What of a message the next hop can take, and in which form. Pure: answers
 * from the envelope and the hop's capabilities, touches no content.
 *
 *  - SMTPUTF8 (RFC 6531 section 3.2): an address or header that needs it is
 *    refused with 5.6.7 when the hop lacks it; nothing is mangled (C60). A
 *    message whose sender asked for it but that is all ASCII goes without.
 *  - 8-bit octets toward a hop without 8BITMIME are converted (C47, B31).
 *  - Lines over 998 octets are re-encoded toward every hop, because none
 *    promises to keep them (B32).
 *  - A SIZE that is known and exceeded is refused with 5.3.4 before anything
 *    is sent (RFC 1870 section 6.1, C42).
 */

struct envelope;
struct recipient;

enum render_form {
	RENDER_AS_IS = 0,
	RENDER_CONVERTED, /* by mime/downgrade.h, on a worker */
};

enum render_form render_form(const struct envelope *env,
                             const struct ehlo *hop);

/* false: the sender or the message cannot go there; *status says why. len is
 * that of the form to be sent. */
bool render_message(const struct envelope *env, const struct ehlo *hop,
                    uint64_t len, struct smtp_status *status);
/* The same for one recipient of a message that can. */
bool render_recipient(const struct recipient *r, const struct ehlo *hop,
                      struct smtp_status *status);

/* Parameters of MAIL: is the address data or header UTF-8, is the body? */
bool render_needs_smtputf8(const struct envelope *env);
bool render_is_8bit(const struct envelope *env, enum render_form form);

#endif

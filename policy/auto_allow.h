#ifndef SORTIE_POLICY_AUTO_ALLOW_H
#define SORTIE_POLICY_AUTO_ALLOW_H

#include <stddef.h>

#include "conf/conf.h"
#include "policy/decision.h"
#include "policy/scope.h"

/*
 * Which mail makes Auto senders, and under which name: the two questions of
 * auto-allow creation that need neither clock nor store. Pure.
 */

/*
 * Who wrote a message, as its header block (or whole message) tells; sender
 * is the reverse-path without brackets, "" the null sender.
 *
 * AUTOMATIC: the null sender and MAILER-DAEMON; Auto-Submitted with any other
 * word than "no" (RFC 3834 section 5), also one that cannot be read;
 * Precedence bulk, junk or auto_reply; reports of the mail system
 * (multipart/report, RFC 6522, and its parts as a type of their own: RFC 3464,
 * 8098); Feedback-ID, which bulk senders put in; the marks of responders and
 * of mailbox rules that are older than RFC 3834 or ignore it.
 *
 * LIST: none of these, and Precedence list or a field of RFC 2369 or 2919.
 *
 * Not a mark of anything: X-Auto-Response-Suppress, which asks receivers for
 * silence and stands in people's mail too (MS-OXCMAIL section 2.1.3.2.20);
 * words of the subject; X-Loop and X-Mailer.
 *
 * It is meant to keep entries from being made: in doubt it is not a person.
 */
enum decision_mail auto_allow_mail(const char *header, size_t len,
                                   const char *sender);

/* Longest key, with its NUL. */
#define AUTO_ALLOW_KEY_MAX SCOPE_KEY_MAX

/*
 * The name under which entries are made and found: domain in A-labels and
 * lower case, quotes only where they are needed, ASCII letters of the local
 * part folded or not. Nothing else is alike: neither plus tags nor characters
 * that look the same (checklist B73). text is an address, or "@domain" for a
 * whole domain. -1 when it is neither; out is untouched then.
 */
int auto_allow_key(enum conf_local_part mode, const char *text,
                   char out[AUTO_ALLOW_KEY_MAX]);

#endif

/*
 * Replies of the server, built here and nowhere else (RFC 5321 section 4.2,
 * RFC 2034). Text of the client is never part of one: it could break the line
 * or play on the terminal of whoever reads it.
 */
#include "daemon/receive/reply.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "conf/conf.h"
#include "daemon/net/io.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/session_private.h"
#include "policy/decision.h"
#include "store/envelope.h"

#define REPLY_MAX 512 /* RFC 5321 section 4.5.3.1.5 */

void
reply_line(struct session *s, const char *line)
{
	if (s->io != NULL) {
		io_puts(s->io, line);
	}
}

static void
count(struct session *s, unsigned code)
{
	struct receive_counters *c = s->receiver->o.counters;

	if (code >= 500) {
		atomic_fetch_add_explicit(&c->refused, 1, memory_order_relaxed);
	} else if (code >= 400) {
		atomic_fetch_add_explicit(&c->deferred, 1,
		                          memory_order_relaxed);
	}
}

static void
put(struct session *s, unsigned code, const char *enhanced, const char *text,
    const char *id)
{
	char line[REPLY_MAX];
	int n;

	count(s, code);
	if (s->io == NULL) {
		return;
	}
	n = snprintf(line, sizeof(line), "%u %s%s%s%s%s%s\r\n", code, enhanced,
	             enhanced[0] == '\0' ? "" : " ", text,
	             id == NULL ? "" : " [", id == NULL ? "" : id,
	             id == NULL ? "" : "]");
	if (n > 0 && (size_t)n < sizeof(line)) {
		io_write(s->io, line, (size_t)n);
	}
}

void
reply(struct session *s, unsigned code, const char *enhanced, const char *text)
{
	put(s, code, enhanced, text, NULL);
}

void
reply_id(struct session *s, unsigned code, const char *enhanced,
         const char *text)
{
	char id[ID_TEXT_MAX];

	id_format(session_current_id(s), id);
	put(s, code, enhanced, text, id);
}

void
reply_bad(struct session *s, unsigned code, const char *enhanced,
          const char *text)
{
	s->bad++;
	put(s, code, enhanced, text, NULL);
}

void
reply_fault(struct session *s, const struct command_fault *f)
{
	reply_bad(s, f->code, f->enhanced, f->text);
}

void
reply_ehlo(struct session *s)
{
	const struct conf *c = session_conf(s);

	io_printf(s->io, "250-%s Hello [%s]\r\n", c->gateway.hostname,
	          s->client_text);
	io_printf(s->io, "250-SIZE %llu\r\n",
	          (unsigned long long)c->limits.message_size);
	io_puts(s->io, "250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	               "250-CHUNKING\r\n250-DSN\r\n"
	               "250-ENHANCEDSTATUSCODES\r\n");
	if (!s->tls.active && s->snap->tls.server != NULL) {
		io_puts(s->io, "250-STARTTLS\r\n");
	}
	if (s->tls.active) {
		io_puts(s->io, "250-REQUIRETLS\r\n"); /* RFC 8689 section 2 */
	}
	if (auth_offered(s)) {
		io_puts(s->io, "250-AUTH PLAIN LOGIN\r\n");
	}
	io_printf(s->io, "250-LIMITS RCPTMAX=%u\r\n250 HELP\r\n",
	          c->limits.recipients);
}

void
reply_log_refused(struct session *s, const char *reason, unsigned code,
                  const char *rcpt)
{
	reply_log_refused_by(s, reason, code, rcpt, NULL);
}

void
reply_log_refused_by(struct session *s, const char *reason, unsigned code,
                     const char *rcpt, const struct conf_policy *policy)
{
	struct log_line l;
	char name[160];

	if (!log_enabled(LOG_LEVEL_INFO)) {
		return;
	}
	log_begin(&l, LOG_LEVEL_INFO, "refused");
	log_id(&l, "qid", s->tx.open ? s->tx.env->id : 0);
	log_id(&l, "sid", s->id);
	log_str(&l, "client", s->client_text);
	log_str(&l, "helo", s->helo[0] == '\0' ? NULL : s->helo);
	log_str(&l, "from", s->tx.open ? s->tx.env->sender : NULL);
	log_str(&l, "to", rcpt);
	log_int(&l, "code", code);
	log_str(&l, "reason", reason);
	log_str(&l, "policy",
	        policy == NULL ? NULL : decision_policy_name(policy, name));
	log_end(&l);
}

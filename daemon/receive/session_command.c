/*
 * The commands that need no file of their own, and the one table of all: who
 * runs a verb, when it may come, whether it counts as idle. Nothing of a
 * client's line is ever echoed.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "daemon/net/io.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/session_private.h"

static void
hello(struct session *s, const struct command_line *l, bool esmtp)
{
	struct command_fault f = { 0 };
	size_t len = 0;

	if (command_parse_name(l->args, l->args_len, &len, &f) == -1) {
		reply_fault(s, &f);
		return;
	}
	session_reset(s);
	memcpy(s->helo, l->args, len);
	s->helo[len] = '\0';
	s->hello = true;
	s->esmtp = esmtp;
	session_forget_texts(s);
	if (esmtp) {
		reply_ehlo(s);
	} else {
		io_printf(s->io, "250 %s Hello [%s]\r\n",
		          session_conf(s)->gateway.hostname, s->client_text);
	}
}

static void
on_ehlo(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	hello(s, l, true);
}

static void
on_helo(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	hello(s, l, false);
}

static void
on_mail(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	session_mail(s, l);
}

static void
on_rcpt(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	session_rcpt(s, l);
}

static void
on_bdat(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	session_bdat(s, l);
}

static void
on_rset(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	if (l->args_len != 0) {
		reply_bad(s, 501, "5.5.4", "RSET takes no argument");
		return;
	}
	session_reset(s);
	reply_line(s, "250 2.0.0 Ok\r\n");
}

static void
on_noop(struct session *s, const struct command_line *l, size_t rest)
{
	(void)l;    /* any argument is fine */
	(void)rest; /* handlers share one type */
	reply_line(s, "250 2.0.0 Ok\r\n");
}

static void
on_vrfy(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	if (l->args_len == 0) {
		reply_bad(s, 501, "5.5.4", "VRFY takes an address");
		return;
	}
	reply_line(s, "252 2.0.0 Not verified; send mail and see\r\n");
}

static void
on_not_here(struct session *s, const struct command_line *l, size_t rest)
{
	(void)l;    /* handlers share one type */
	(void)rest; /* handlers share one type */
	reply_bad(s, 502, "5.5.1", "The command is not implemented");
}

static void
on_help(struct session *s, const struct command_line *l, size_t rest)
{
	(void)l;    /* handlers share one type */
	(void)rest; /* handlers share one type */
	reply_line(s, "214 2.0.0 Commands: EHLO HELO MAIL RCPT DATA BDAT RSET "
	              "NOOP VRFY STARTTLS AUTH HELP QUIT\r\n");
}

static void
on_quit(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* what stands behind QUIT is never looked at (B11) */
	if (l->args_len != 0) {
		reply_bad(s, 501, "5.5.4", "QUIT takes no argument");
		return;
	}
	reply_line(s, "221 2.0.0 Bye\r\n");
	session_close(s, true);
}

/* RFC 3207; what the client said before is forgotten in on_tls_ready. */
static void
on_starttls(struct session *s, const struct command_line *l, size_t rest)
{
	struct ssl_st *ssl;

	if (l->args_len != 0) {
		reply_bad(s, 501, "5.5.4", "STARTTLS takes no argument");
		return;
	}
	if (s->tls.active) {
		reply_bad(s, 503, "5.5.1", "TLS is active already");
		return;
	}
	if (s->snap->tls.server == NULL) {
		reply_bad(s, 502, "5.5.1", "TLS is not offered here");
		return;
	}
	if (!s->hello || !s->esmtp) {
		reply_bad(s, 503, "5.5.1", "Send EHLO first");
		return;
	}
	if (rest > 0) {
		/* Somebody between may have put it there (CVE-2011-0411). */
		reply_log_refused(s, "starttls_input", 554, NULL);
		reply(s, 554, "5.5.0", "Input stands behind STARTTLS");
		session_close(s, true);
		return;
	}
	ssl = tls_server_new(&s->snap->tls);
	if (ssl == NULL) {
		reply(s, 454, "4.7.0", "TLS is not available now");
		return;
	}
	session_reset(s);
	reply_line(s, "220 2.0.0 Ready for TLS\r\n");
	session_set_state(s, SESSION_HANDSHAKE);
	io_start_tls(s->io, ssl, true);
}

static void
on_auth(struct session *s, const struct command_line *l, size_t rest)
{
	(void)rest; /* handlers share one type */
	auth_begin(s, l);
}

static void
on_unknown(struct session *s, const struct command_line *l, size_t rest)
{
	(void)l;    /* never echoed */
	(void)rest; /* handlers share one type */
	reply_bad(s, 500, "5.5.2", "The command is unknown");
}

static void
on_foreign(struct session *s, const struct command_line *l, size_t rest)
{
	(void)l;    /* never echoed */
	(void)rest; /* a request's header could hold commands (B13) */
	reply_log_refused(s, "not_smtp", 421, NULL);
	session_end(s, "4.7.0", "This is a mail server");
}

enum command_flag {
	FLAG_HELLO = 1, /* only after EHLO or HELO */
	FLAG_IDLE = 2,  /* moves nothing forward: limited (B14) */
};

struct command_row {
	const char *name;
	void (*run)(struct session *s, const struct command_line *l,
	            size_t rest);
	unsigned flags;
};

static const struct command_row commands[] = {
	[COMMAND_UNKNOWN] = { "unknown", on_unknown, 0 },
	[COMMAND_EHLO] = { "EHLO", on_ehlo, FLAG_IDLE },
	[COMMAND_HELO] = { "HELO", on_helo, FLAG_IDLE },
	[COMMAND_MAIL] = { "MAIL", on_mail, FLAG_HELLO },
	[COMMAND_RCPT] = { "RCPT", on_rcpt, FLAG_HELLO },
	/* Without EHLO too: their octets must not be read as commands. */
	[COMMAND_DATA] = { "DATA", session_data, 0 },
	[COMMAND_BDAT] = { "BDAT", on_bdat, 0 },
	[COMMAND_RSET] = { "RSET", on_rset, FLAG_IDLE },
	[COMMAND_NOOP] = { "NOOP", on_noop, FLAG_IDLE },
	[COMMAND_VRFY] = { "VRFY", on_vrfy, FLAG_IDLE },
	[COMMAND_EXPN] = { "EXPN", on_not_here, FLAG_IDLE },
	[COMMAND_HELP] = { "HELP", on_help, FLAG_IDLE },
	[COMMAND_QUIT] = { "QUIT", on_quit, 0 },
	[COMMAND_STARTTLS] = { "STARTTLS", on_starttls, 0 },
	[COMMAND_AUTH] = { "AUTH", on_auth, FLAG_HELLO },
	[COMMAND_ETRN] = { "ETRN", on_not_here, FLAG_IDLE },
	[COMMAND_FOREIGN] = { "foreign", on_foreign, 0 },
};

_Static_assert(sizeof(commands) / sizeof(commands[0]) == COMMAND_VERBS,
               "a row for each verb");

void
session_run_command(struct session *s, const char *line, size_t len,
                    size_t rest)
{
	struct command_line l = { 0 };
	struct command_fault f = { 0 };
	const struct command_row *row;

	if (command_split(line, len, &l, &f) == -1) {
		/* A TLS greeting on a plain port never makes sense later. */
		if (len > 1 && line[0] == 0x16 && line[1] == 0x03) {
			on_foreign(s, &l, rest);
			return;
		}
		reply_fault(s, &f);
		return;
	}
	row = &commands[l.verb];
	if ((row->flags & FLAG_IDLE) != 0) {
		s->idle++;
	}
	if ((row->flags & FLAG_HELLO) != 0 && !s->hello) {
		reply_bad(s, 503, "5.5.1", "Send EHLO first");
		return;
	}
	row->run(s, &l, rest);
}

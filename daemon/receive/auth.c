/*
 * SMTP AUTH PLAIN and LOGIN (RFC 4954), over TLS only. Passwords are checked
 * by a worker; a failure is answered late and few are allowed (checklist B19).
 * Refuses to log or keep a secret longer than its check takes.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/io.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/clients.h"
#include "daemon/receive/password.h"
#include "daemon/receive/session_private.h"

#define DELAY_MS   1000 /* times the number of failures */
#define CHECKS_MAX 8    /* under way at once, all sessions together */

enum auth_step {
	STEP_PLAIN = 0, /* the PLAIN message is awaited */
	STEP_USER,      /* LOGIN */
	STEP_SECRET,
	STEP_CHECK, /* a worker is at it */
	STEP_DELAY, /* a failure waits to be told */
};

struct auth_check {
	struct task task;
	struct session *session; /* NULL: gone, nobody waits */
	struct reactor *reactor;
	struct snapshot *snap;
	enum auth_step step;
	bool busy; /* a worker or the mailbox has it */
	bool match;
	bool failed; /* the file could not be used */
	struct err error;
	struct timer timer;
	struct password password;
};

static atomic_int checks;

static void
check_free(struct auth_check *a)
{
	timer_clear(&a->timer);
	explicit_bzero(&a->password, sizeof(a->password));
	snapshot_unref(&a->snap);
	free(a);
}

void
auth_clear(struct session *s)
{
	struct auth_check *a = s->auth;

	if (a == NULL) {
		return;
	}
	s->auth = NULL;
	if (a->busy) {
		a->session = NULL; /* on_checked frees it */
		return;
	}
	check_free(a);
}

bool
auth_offered(const struct session *s)
{
	return s->tls.active && s->user == NULL &&
	       s->snap->conf->gateway.auth_file != NULL;
}

static void
end_exchange(struct session *s)
{
	auth_clear(s);
	session_set_state(s, SESSION_COMMAND);
}

static void
malformed(struct session *s)
{
	end_exchange(s);
	reply_bad(s, 501, "5.5.2", "The credentials are malformed");
}

/* ---- checking ------------------------------------------------------- */

static void
on_delay_over(void *arg)
{
	struct auth_check *a = arg;
	struct session *s = a->session;

	end_exchange(s);
	if (s->auth_failures >= RECEIVE_AUTH_FAILURES) {
		session_end(s, "4.7.0", "Too many failed logins");
		return;
	}
	reply(s, 535, "5.7.8", "The credentials are not valid");
	session_continue(s);
}

static void
on_failure(struct session *s, struct auth_check *a)
{
	struct log_line l;

	s->auth_failures++;
	client_table_auth_failed(s->receiver->o.clients, &s->client.addr,
	                         reactor_now_ms(a->reactor));
	log_begin(&l, LOG_LEVEL_WARN, "auth_failed");
	log_id(&l, "sid", s->id);
	log_str(&l, "client", s->client_text);
	log_str(&l, "user", a->password.user);
	log_end(&l);
	a->step = STEP_DELAY;
	timer_init(&a->timer, a->reactor, on_delay_over, a);
	timer_set(&a->timer, (int64_t)DELAY_MS * s->auth_failures);
}

static void
on_checked(struct task *t)
{
	struct auth_check *a =
		(struct auth_check *)((char *)t -
	                              offsetof(struct auth_check, task));
	struct session *s = a->session;

	a->busy = false;
	atomic_fetch_sub(&checks, 1);
	if (s == NULL) {
		check_free(a);
		return;
	}
	if (a->failed) {
		log_event(LOG_LEVEL_ERROR, "auth_file", "%s", a->error.text);
		end_exchange(s);
		reply(s, 454, "4.7.0", "Logins cannot be checked now");
		session_continue(s);
		return;
	}
	if (!a->match) {
		on_failure(s, a);
		return;
	}
	s->user = mem_strdup(a->password.user);
	session_forget_texts(s);
	end_exchange(s);
	reply(s, 235, "2.7.0", "Authenticated");
	session_continue(s);
}

static void
run_check(struct task *t)
{
	struct auth_check *a =
		(struct auth_check *)((char *)t -
	                              offsetof(struct auth_check, task));

	a->failed = password_check(a->snap->conf->gateway.auth_file,
	                           &a->password, &a->match, &a->error) == -1;
	explicit_bzero(a->password.secret, sizeof(a->password.secret));
	a->task.run = on_checked;
	reactor_post(a->reactor, &a->task);
}

static void
start_check(struct session *s)
{
	struct auth_check *a = s->auth;

	if (client_table_auth_blocked(s->receiver->o.clients, &s->client.addr,
	                              reactor_now_ms(a->reactor)) ||
	    atomic_load(&checks) >= CHECKS_MAX) {
		end_exchange(s);
		reply(s, 454, "4.7.0", "Too many logins now; try later");
		return;
	}
	atomic_fetch_add(&checks, 1);
	a->step = STEP_CHECK;
	a->busy = true;
	a->task.run = run_check;
	session_set_state(s, SESSION_AUTH_WAIT);
	workers_post(s->receiver->ops->workers(s->receiver->o.queue), &a->task);
}

/* ---- the exchange --------------------------------------------------- */

static void
take_plain(struct session *s, const char *line, size_t len)
{
	struct password *p = &s->auth->password;
	char data[PASSWORD_USER_MAX * 2 + PASSWORD_SECRET_MAX + 2];
	size_t n = 0;
	bool good = password_decode(line, len, data, sizeof(data), &n) == 0 &&
	            password_parse_plain(data, n, p) == 0;

	explicit_bzero(data, sizeof(data));
	if (!good) {
		malformed(s);
		return;
	}
	start_check(s);
}

static void
take_user(struct session *s, const char *line, size_t len)
{
	struct password *p = &s->auth->password;
	size_t n = 0;

	if (password_decode(line, len, p->user, PASSWORD_USER_MAX, &n) == -1 ||
	    n == 0 || memchr(p->user, '\0', n) != NULL) {
		malformed(s);
		return;
	}
	p->user[n] = '\0';
	s->auth->step = STEP_SECRET;
	reply_line(s, "334 UGFzc3dvcmQ6\r\n"); /* "Password:" */
}

static void
take_secret(struct session *s, const char *line, size_t len)
{
	struct password *p = &s->auth->password;
	size_t n = 0;

	if (password_decode(line, len, p->secret, PASSWORD_SECRET_MAX, &n) ==
	            -1 ||
	    n == 0 || memchr(p->secret, '\0', n) != NULL) {
		malformed(s);
		return;
	}
	p->secret[n] = '\0';
	start_check(s);
}

void
auth_line(struct session *s, const char *line, size_t len)
{
	if (len == 1 && line[0] == '*') {
		end_exchange(s);
		reply(s, 501, "5.7.0", "Cancelled");
		return;
	}
	switch (s->auth->step) {
	case STEP_PLAIN:
		take_plain(s, line, len);
		return;
	case STEP_USER:
		take_user(s, line, len);
		return;
	case STEP_SECRET:
		take_secret(s, line, len);
		return;
	case STEP_CHECK:
	case STEP_DELAY:
		return;
	}
}

static bool
may_begin(struct session *s)
{
	if (s->snap->conf->gateway.auth_file == NULL) {
		reply_bad(s, 502, "5.5.1", "AUTH is not offered here");
	} else if (!s->tls.active) {
		reply_bad(s, 538, "5.7.11", "AUTH needs TLS; send STARTTLS");
	} else if (s->user != NULL) {
		reply_bad(s, 503, "5.5.1", "Authenticated already");
	} else if (s->tx.open) {
		reply_bad(s, 503, "5.5.1", "A transaction is under way");
	} else {
		return true;
	}
	return false;
}

void
auth_begin(struct session *s, const struct command_line *l)
{
	const char *args = l->args;
	size_t word = 0;
	size_t at;
	bool plain;

	if (!may_begin(s)) {
		return;
	}
	while (word < l->args_len && args[word] != ' ') {
		word++;
	}
	at = word;
	while (at < l->args_len && args[at] == ' ') {
		at++;
	}
	plain = word == 5 && strncasecmp(args, "PLAIN", 5) == 0;
	if (!plain && !(word == 5 && strncasecmp(args, "LOGIN", 5) == 0)) {
		reply_bad(s, 504, "5.5.4", "The mechanism is not offered");
		return;
	}
	s->auth = mem_alloc(sizeof(*s->auth));
	s->auth->session = s;
	s->auth->reactor = s->receiver->o.reactor;
	s->auth->snap = snapshot_ref(s->snap);
	s->auth->step = plain ? STEP_PLAIN : STEP_USER;
	session_set_state(s, SESSION_AUTH);
	if (at == l->args_len) {
		/* "Username:" for LOGIN, an empty challenge for PLAIN. */
		reply_line(s, plain ? "334 \r\n" : "334 VXNlcm5hbWU6\r\n");
		return;
	}
	/* "=" is an empty initial response, which neither mechanism takes. */
	if (plain) {
		take_plain(s, args + at, l->args_len - at);
	} else {
		take_user(s, args + at, l->args_len - at);
	}
}

/*
 * Connections before their sessions: the doors they come through, limits, and
 * the header of a proxy in front of us. Refuses what it refuses without making
 * a session, so that a flood costs little. A part of the connections is kept
 * for authorized sources: strangers cannot use up all.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/listener.h"
#include "daemon/net/snapshot.h"
#include "daemon/receive/clients.h"
#include "daemon/receive/proxy.h"
#include "daemon/receive/session_private.h"
#include "policy/admission.h"

#define KEPT_PART 4 /* one in so many connections is for authorized sources */

struct door {
	struct door *next;
	struct receiver *receiver;
	struct listener *listener;
	unsigned index; /* of the listen entry */
};

struct arrival { /* a proxy's connection whose header is not complete */
	struct arrival *next;
	struct arrival *prev;
	struct receiver *receiver;
	struct watch *watch;
	struct timer timer;
	int fd;
	struct net_endpoint peer;
	bool implicit_tls;
	size_t len;
	char data[PROXY_MAX];
};

static const struct receive_ops queue_ops = {
	.submit = queue_submit,
	.accepting = queue_accepting,
	.memory_take = queue_memory_take,
	.memory_give = queue_memory_give,
	.workers = queue_workers,
	.store = queue_store,
};

static const struct conf *
current_conf(const struct receiver *r)
{
	return reactor_snapshot(r->o.reactor)->conf;
}

/* A last word to a connection that gets no session. */
static void
turn_away(struct receiver *r, int fd, bool implicit_tls,
          const struct net_addr *client, const char *enhanced, const char *text)
{
	char line[256];
	struct log_line l;
	int n = snprintf(line, sizeof(line), "421 %s %s\r\n", enhanced, text);

	if (!implicit_tls && n > 0) {
		/* It may not arrive; the connection ends either way. */
		(void)send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	(void)shutdown(fd, SHUT_WR);
	close(fd);
	atomic_fetch_add_explicit(&r->o.counters->deferred, 1,
	                          memory_order_relaxed);
	if (log_enabled(LOG_LEVEL_INFO)) {
		char address[NETWORK_TEXT_MAX];

		net_addr_format(client, address);
		log_begin(&l, LOG_LEVEL_INFO, "refused");
		log_str(&l, "client", address);
		log_int(&l, "code", 421);
		log_str(&l, "reason", text);
		log_end(&l);
	}
}

/* Has the client spoken before its turn (B10)? */
static bool
spoke_early(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static bool
any_name(void *arg, const char *name)
{
	(void)arg; /* the callback's type */
	(void)name;
	return true;
}

/* Is the address one of authorized_outbound, whatever its entry asks for? The
 * proof cannot have been given before the greeting. */
static bool
is_listed(const struct conf *c, const struct net_addr *a)
{
	struct admission_client cl = { .address = *a,
		                       .tls = true,
		                       .has_certificate_name = any_name,
		                       .authenticated = true };

	return admission_source_authorized(c, &cl);
}

/* NULL: come in, and it has been counted. Else why not. */
static const char *
count_in(struct receiver *r, const struct net_addr *a, const char **enhanced_r)
{
	const struct conf *c = current_conf(r);
	const struct conf_limits *l = &c->limits;
	bool listed = is_listed(c, a);
	unsigned in_all = l->connections;

	if (!listed) {
		in_all -= in_all / KEPT_PART;
	}
	*enhanced_r = "4.7.0";
	if ((!listed || l->rates_for == CONF_RATES_ALL) &&
	    !client_table_take(r->o.clients, a, CLIENT_RATE_CONNECTIONS,
	                       &l->connection_rate,
	                       reactor_now_ms(r->o.reactor))) {
		return "Too many new connections from your address";
	}
	switch (client_table_enter(r->o.clients, a, l->connections_per_client,
	                           in_all)) {
	case CLIENT_ALL_FULL:
		*enhanced_r = "4.3.2";
		return "Too many connections";
	case CLIENT_TOO_MANY:
		return "Too many connections from your address";
	case CLIENT_WELCOME:
		break;
	}
	return NULL;
}

/* The client's real address is known: in or out? */
static void
admit(struct receiver *r, int fd, const struct net_endpoint *client,
      bool implicit_tls)
{
	struct session_options o = { .receiver = r,
		                     .fd = fd,
		                     .client = *client,
		                     .implicit_tls = implicit_tls };
	unsigned code = 0;
	const char *enhanced = "4.3.2";
	const char *text = "Not accepting mail now";

	if (!r->ops->accepting(r->o.queue, &code, &enhanced, &text)) {
		turn_away(r, fd, implicit_tls, &client->addr, enhanced, text);
		return;
	}
	text = count_in(r, &client->addr, &enhanced);
	if (text != NULL) {
		turn_away(r, fd, implicit_tls, &client->addr, enhanced, text);
		return;
	}
	atomic_fetch_add_explicit(&r->o.counters->connections, 1,
	                          memory_order_relaxed);
	atomic_fetch_add_explicit(&r->o.counters->accepted_connections, 1,
	                          memory_order_relaxed);
	o.early = !implicit_tls && spoke_early(fd);
	session_start(&o);
}

/* ---- PROXY protocol ------------------------------------------------- */

/* The descriptor goes back to the caller, the place of the proxy is given
 * back. */
static int
arrival_end(struct arrival *a)
{
	struct receiver *r = a->receiver;
	int fd = a->fd;

	if (a->prev == NULL) {
		r->arrivals = a->next;
	} else {
		a->prev->next = a->next;
	}
	if (a->next != NULL) {
		a->next->prev = a->prev;
	}
	watch_free(&a->watch);
	timer_clear(&a->timer);
	client_table_leave(r->o.clients, &a->peer.addr);
	free(a);
	return fd;
}

static void
arrival_refuse(struct arrival *a, const char *reason)
{
	struct log_line l;
	char address[NETWORK_TEXT_MAX];

	net_addr_format(&a->peer.addr, address);
	log_begin(&l, LOG_LEVEL_WARN, "refused");
	log_str(&l, "client", address);
	log_str(&l, "reason", reason);
	log_end(&l);
	close(arrival_end(a));
}

static void
on_arrival_timeout(void *arg)
{
	arrival_refuse(arg, "proxy_timeout");
}

/* Looks at what came without taking it, then takes only what is of the
 * header: the rest belongs to the session, or to its TLS. */
static void
on_arrival_input(void *arg)
{
	struct arrival *a = arg;
	struct receiver *r = a->receiver;
	struct proxy_header h = { 0 };
	struct net_endpoint client;
	enum proxy_result result;
	size_t before = a->len;
	size_t take;
	bool implicit_tls = a->implicit_tls;
	ssize_t got = recv(a->fd, a->data + before, sizeof(a->data) - before,
	                   MSG_PEEK | MSG_DONTWAIT);

	if (got == -1 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (got <= 0) {
		arrival_refuse(a, "proxy_closed");
		return;
	}
	result = proxy_parse(a->data, before + (size_t)got, &h);
	if (result == PROXY_INVALID ||
	    (result == PROXY_MORE && before + (size_t)got == sizeof(a->data))) {
		arrival_refuse(a, "proxy_header");
		return;
	}
	take = result == PROXY_DONE ? h.len - before : (size_t)got;
	if (recv(a->fd, a->data + before, take, MSG_DONTWAIT) !=
	    (ssize_t)take) {
		arrival_refuse(a, "proxy_closed");
		return;
	}
	a->len = before + take;
	if (result == PROXY_MORE) {
		return;
	}
	client = h.known ? h.source : a->peer;
	admit(r, arrival_end(a), &client, implicit_tls);
}

static void
await_proxy(struct receiver *r, int fd, const struct net_endpoint *peer,
            bool implicit_tls)
{
	struct arrival *a;

	if (client_table_enter(r->o.clients, &peer->addr, CLIENT_NO_LIMIT,
	                       current_conf(r)->limits.connections) !=
	    CLIENT_WELCOME) {
		turn_away(r, fd, implicit_tls, &peer->addr, "4.3.2",
		          "Too many connections");
		return;
	}
	a = mem_alloc(sizeof(*a));
	a->receiver = r;
	a->fd = fd;
	a->peer = *peer;
	a->implicit_tls = implicit_tls;
	a->next = r->arrivals;
	if (a->next != NULL) {
		a->next->prev = a;
	}
	r->arrivals = a;
	timer_init(&a->timer, r->o.reactor, on_arrival_timeout, a);
	timer_set(&a->timer, RECEIVE_PROXY_MS);
	a->watch = watch_new(r->o.reactor, fd, on_arrival_input, a);
}

static bool
is_proxy(const struct conf_listen *l, const struct net_addr *peer)
{
	return net_prefixes_contain(l->proxy, l->proxy_n, peer, false);
}

/* ---- doors ---------------------------------------------------------- */

static void
on_accept(void *arg, int fd, const struct net_endpoint *peer,
          const struct net_endpoint *local)
{
	struct door *d = arg;
	struct receiver *r = d->receiver;
	const struct conf_gateway *g = &current_conf(r)->gateway;
	const struct conf_listen none = { .tls = CONF_LISTEN_STARTTLS };
	const struct conf_listen *l =
		d->index < g->listen_n ? &g->listen[d->index] : &none;
	bool implicit_tls = l->tls == CONF_LISTEN_IMPLICIT;

	(void)local; /* the callback's type */
	if (r->draining) {
		turn_away(r, fd, implicit_tls, &peer->addr, "4.3.2",
		          "The service is shutting down");
		return;
	}
	if (is_proxy(l, &peer->addr)) {
		await_proxy(r, fd, peer, implicit_tls);
		return;
	}
	admit(r, fd, peer, implicit_tls);
}

int
receiver_listen(struct receiver *r, int fd, unsigned listen_index,
                struct err *e)
{
	struct door *d = mem_alloc(sizeof(*d));

	d->receiver = r;
	d->index = listen_index;
	d->listener = listener_new(r->o.reactor, fd, on_accept, d);
	if (d->listener == NULL) {
		free(d);
		return err_set(e, ERR_SYSTEM, "listen");
	}
	d->next = r->doors;
	r->doors = d;
	return 0;
}

static void
close_doors(struct receiver *r)
{
	struct arrival *next;

	while (r->doors != NULL) {
		struct door *d = r->doors;

		r->doors = d->next;
		listener_free(&d->listener);
		free(d);
	}
	for (struct arrival *a = r->arrivals; a != NULL; a = next) {
		next = a->next;
		close(arrival_end(a));
	}
}

struct receiver *
receiver_new(const struct receive_options *o)
{
	struct receiver *r = mem_alloc(sizeof(*r));

	r->o = *o;
	r->ops = &queue_ops;
	return r;
}

void
receiver_set_ops(struct receiver *r, const struct receive_ops *ops)
{
	r->ops = ops;
}

void
receiver_drain(struct receiver *r)
{
	struct session *s = r->sessions;

	r->draining = true;
	close_doors(r);
	while (s != NULL) {
		struct session *next = s->next;

		session_drain(s);
		s = next;
	}
}

uint64_t
receiver_sessions(const struct receiver *r)
{
	return r->sessions_n;
}

void
receiver_release(struct receiver *r)
{
	if (r->freed && r->sessions_n == 0) {
		free(r);
	}
}

/* A session whose commit is under way stays until the queue has answered. */
void
receiver_free(struct receiver **rp)
{
	struct receiver *r = *rp;
	struct session *s;

	if (r == NULL) {
		return;
	}
	*rp = NULL;
	close_doors(r);
	r->draining = true;
	s = r->sessions;
	while (s != NULL) {
		struct session *next = s->next;

		session_abort(s);
		s = next;
	}
	r->freed = true;
	receiver_release(r);
}

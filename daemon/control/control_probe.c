#include "daemon/control/control_probe.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/ehlo.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "policy/decision.h"
#include "policy/select.h"

/*
 * GET /v1/tls: what deliveries to a destination would find, under each mode of
 * secure_delivery. Sends no mail; what hosts said is shown, not remembered.
 */

/* ---- the way there and back --- */

struct control_probe *
control_probe_new(struct control_job *job, struct snapshot *s)
{
	struct control_probe *p = mem_alloc(sizeof(*p));

	p->snapshot = snapshot_ref(s);
	p->arena = arena_new(1024);
	p->job = job;
	job->probe = p;
	return p;
}

void
control_probe_free(struct control_probe **pp)
{
	struct control_probe *p = *pp;

	*pp = NULL;
	if (p == NULL) {
		return;
	}
	snapshot_unref(&p->snapshot);
	arena_free(&p->arena);
	free(p->result);
	free(p);
}

void
control_probe_add(struct control_probe *p, const char *mode,
                  const struct tls_need *need)
{
	p->modes[p->needs_n] = mode;
	p->needs[p->needs_n++] = *need;
}

/* Main thread. */
static void
on_back(struct task *t)
{
	struct control_job *job = control_job_of(t);

	job->probe->done(job);
}

static void
on_result(void *arg, struct probe_result *result)
{
	struct control_probe *p = arg;

	p->result = result;
	control_job_later(p->job, on_back);
}

/* The prober's thread. */
static void
on_reactor(struct task *t)
{
	struct control_probe *p =
		(struct control_probe *)((char *)t -
	                                 offsetof(struct control_probe, task));
	struct prober *prober = *p->job->control->o.prober;
	int rc;

	if (prober == NULL) {
		rc = err_set(&p->err, ERR_UNAVAILABLE,
		             "the daemon is shutting down");
	} else {
		rc = prober_ask(prober, &p->question, on_result, p, &p->err);
	}
	if (rc == -1) {
		control_job_later(p->job, on_back);
	}
}

void
control_probe_start(struct control_probe *p)
{
	const struct control *c = p->job->control;

	p->question.snapshot = p->snapshot;
	p->question.needs = p->needs;
	p->question.needs_n = p->needs_n;
	if (c->ending || c->o.prober == NULL) {
		err_set(&p->err, ERR_UNAVAILABLE,
		        "the daemon is shutting down");
		p->done(p->job);
		return;
	}
	p->task.run = on_reactor;
	reactor_post(c->o.prober_reactor, &p->task);
}

/* ---- values --- */

const char *
control_query(const struct evkeyvalq *query, const char *name)
{
	const struct evkeyval *kv;

	for (kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		if (strcmp(kv->key, name) == 0) {
			return kv->value;
		}
	}
	return NULL;
}

static json_t *
text_or_null(const char *s)
{
	return control_json_text(s == NULL || s[0] == '\0' ? NULL : s);
}

static json_t *
offers(unsigned flags)
{
	static const struct {
		enum ehlo_flag flag;
		const char *name;
	} names[] = {
		{ EHLO_STARTTLS, "STARTTLS" },
		{ EHLO_REQUIRETLS, "REQUIRETLS" },
		{ EHLO_PIPELINING, "PIPELINING" },
		{ EHLO_CHUNKING, "CHUNKING" },
		{ EHLO_8BITMIME, "8BITMIME" },
		{ EHLO_SMTPUTF8, "SMTPUTF8" },
		{ EHLO_DSN, "DSN" },
		{ EHLO_SIZE, "SIZE" },
		{ EHLO_ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES" },
	};

	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((flags & names[i].flag) != 0) {
			json_array_append_new(list, json_string(names[i].name));
		}
	}
	return list;
}

static json_t *
certificate_json(const struct tls_facts *f, const struct tls_certificate *c)
{
	json_t *names = json_array();

	if (!f->peer_certificate) {
		json_decref(names);
		return json_null();
	}
	for (size_t i = 0; i < c->names_n; i++) {
		json_array_append_new(names, control_json_text(c->names[i]));
	}
	return json_pack("{s:o, s:o, s:o, s:I, s:o, s:o, s:s}", "subject",
	                 control_json_text(f->subject), "issuer",
	                 control_json_text(f->issuer), "names", names,
	                 "more_names", (json_int_t)c->names_more, "not_before",
	                 control_json_time(c->not_before_ms), "not_after",
	                 control_json_time(c->not_after_ms), "fingerprint",
	                 f->fingerprint);
}

static json_t *
tls_json(const struct probe_session *s)
{
	const struct tls_facts *f = &s->tls;

	if (!f->active) {
		return json_null();
	}
	return json_pack("{s:s, s:s, s:o, s:i, s:b, s:s, s:o, s:o, s:o}",
	                 "version", f->version, "cipher", f->cipher, "group",
	                 text_or_null(f->group), "bits", f->bits, "verified",
	                 (int)f->verified, "verified_by",
	                 s->auth == TLS_AUTH_DANE ? "dane" : "pkix", "why",
	                 text_or_null(f->verify_text), "dane",
	                 text_or_null(f->dane), "certificate",
	                 certificate_json(f, &s->certificate));
}

static json_t *
status_json(const struct smtp_status *s)
{
	if (s->code == 0) {
		return json_null();
	}
	return json_pack("{s:i, s:o, s:o, s:s}", "code", (int)s->code,
	                 "enhanced", text_or_null(s->enhanced), "text",
	                 control_json_text(s->text), "while",
	                 smtp_stage_phrase(s->stage));
}

static json_t *
session_json(const struct probe_session *s)
{
	char peer[NETWORK_TEXT_MAX] = "";

	if (s->peer.addr.family != AF_UNSPEC) {
		net_endpoint_format(&s->peer, peer);
	}
	return json_pack(
		"{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "peer",
		text_or_null(peer), "greeting", text_or_null(s->greeting),
		"esmtp", (int)s->esmtp, "offers", offers(s->offered),
		"offers_tls", offers(s->offered_tls), "shown",
		control_json_text(s->answered ? tls_peer_phrase(s->shown)
	                                      : NULL),
		"detail", text_or_null(s->detail), "tls", tls_json(s), "status",
		status_json(&s->status), "took_ms", (json_int_t)s->took_ms);
}

static json_t *
view_json(const struct control_probe *p, const struct probe_view *v, size_t i)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:b}", "mode", p->modes[i],
	                      "floor", tls_floor_word(&v->floor), "by",
	                      tls_by_word(v->floor.by), "avoid",
	                      (int)v->floor.avoid, "goes", (int)v->goes);

	if (p->question.connect) {
		json_object_set_new(o, "move",
		                    json_string(tls_move_word(v->move)));
	}
	return o;
}

static json_t *
host_json(const struct control_probe *p, const struct probe_host *h)
{
	json_t *addresses = json_array();
	json_t *sessions = json_array();
	json_t *modes = json_array();
	char text[NETWORK_TEXT_MAX];

	for (size_t i = 0; i < h->target.addrs_n; i++) {
		net_addr_format(&h->target.addrs[i], text);
		json_array_append_new(addresses, json_string(text));
	}
	for (size_t i = 0; i < h->sessions_n; i++) {
		json_array_append_new(sessions, session_json(&h->sessions[i]));
	}
	for (size_t i = 0; i < p->needs_n; i++) {
		json_array_append_new(modes, view_json(p, &h->views[i], i));
	}
	return json_pack(
		"{s:o, s:i, s:i, s:o, s:b, s:s, s:o, s:s, s:o, s:o}", "host",
		control_json_text(h->target.host), "port", (int)h->target.port,
		"preference", (int)h->target.preference, "addresses", addresses,
		"dnssec", (int)h->target.secure, "dane",
		tls_dane_word(h->state.dane), "dane_why", text_or_null(h->why),
		"mta_sts", tls_sts_word(h->state.sts), "modes", modes,
		"sessions", sessions);
}

json_t *
control_probe_hosts(const struct control_probe *p)
{
	json_t *hosts = json_array();

	for (size_t i = 0; p->result != NULL && i < p->result->hosts_n; i++) {
		json_array_append_new(hosts,
		                      host_json(p, &p->result->hosts[i]));
	}
	return hosts;
}

/* ---- the answer --- */

/* Why nothing goes there under this mode. */
static const char *
why_not(const struct probe_host *h, const struct probe_view *v)
{
	const struct probe_session *s;

	if (v->floor.avoid) {
		return h->why[0] != '\0'
		               ? h->why
		               : "the host must not be used, by what the "
		                 "domain publishes";
	}
	if (h->sessions_n == 0) {
		return "the host was not asked";
	}
	s = &h->sessions[v->session < 0 ? 0 : v->session];
	if (s->status.code != 0) {
		return s->status.text;
	}
	return s->detail[0] != '\0' && v->peer == s->shown
	               ? s->detail
	               : tls_peer_phrase(v->peer);
}

static json_t *
mode_json(const struct control_probe *p, size_t i, bool *goes_r)
{
	const struct probe_result *r = p->result;
	const char *why = "no host is known";

	for (size_t k = 0; k < r->hosts_n; k++) {
		const struct probe_view *v = &r->hosts[k].views[i];

		if (v->goes) {
			*goes_r = true;
			return json_pack(
				"{s:s, s:b, s:o, s:s, s:n}", "mode",
				p->modes[i], "goes", 1, "host",
				control_json_text(r->hosts[k].target.host),
				"move", tls_move_word(v->move), "why");
		}
	}
	if (!r->ok) {
		why = r->status.text;
	} else if (r->hosts_n > 0) {
		why = why_not(&r->hosts[0], &r->hosts[0].views[i]);
	}
	*goes_r = false;
	return json_pack("{s:s, s:b, s:n, s:n, s:o}", "mode", p->modes[i],
	                 "goes", 0, "host", "move", "why",
	                 control_json_text(why));
}

static json_t *
policy_json(const struct control_probe *p)
{
	char name[160];

	if (p->policy == NULL) {
		return json_null();
	}
	return json_pack(
		"{s:o, s:I}", "narrative",
		control_json_text(decision_policy_name(p->policy, name)),
		"line", (json_int_t)p->policy->line);
}

/* The mode that counts: the winner's when a sender was named, else the first.
 */
static json_t *
answer_json(const struct control_probe *p)
{
	json_t *modes = json_array();
	size_t at = p->sender == NULL ? 0 : p->needs_n - 1;
	bool verdict = p->maildir != NULL;
	bool goes = false;

	for (size_t i = 0; p->maildir == NULL && i < p->needs_n; i++) {
		json_array_append_new(modes, mode_json(p, i, &goes));
		verdict = i == at ? goes : verdict;
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:b, s:o, s:o}",
	                 "name", control_json_text(p->name), "route",
	                 control_json_text(p->question.route), "maildir",
	                 control_json_text(p->maildir), "sender",
	                 control_json_text(p->sender), "policy", policy_json(p),
	                 "modes", modes, "mode", p->modes[at], "goes",
	                 (int)verdict, "status",
	                 p->result == NULL || p->result->ok
	                         ? json_null()
	                         : status_json(&p->result->status),
	                 "hosts", control_probe_hosts(p));
}

static void
on_done(struct control_job *job)
{
	struct control_probe *p = job->probe;

	if (p->result == NULL && p->maildir == NULL) {
		job->code = 503;
		job->body = control_json_error(p->err.text);
	} else {
		job->code = 200;
		job->body = answer_json(p);
	}
	control_job_send(job);
}

/* ---- the question --- */

static void
add_modes(struct control_probe *p)
{
	static const struct {
		const char *mode;
		struct tls_need need;
	} all[] = {
		{ "opportunistic relaxed", { .option = TLS_OPPORTUNISTIC } },
		{ "opportunistic strict", { .strict = true } },
		{ "enforced relaxed", { .option = TLS_ENFORCED } },
		{ "enforced strict",
		  { .option = TLS_ENFORCED, .strict = true } },
		{ "no_tls", { .option = TLS_NEVER } },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		control_probe_add(p, all[i].mode, &all[i].need);
	}
}

/* The policy for mail from the sender to anybody there. */
static int
add_winner(struct control_probe *p, const char *sender, const char *domain,
           struct err *e)
{
	struct address a;
	struct select_answer answer;
	struct select_question q = {
		.sender = sender,
		.recipient = arena_printf(p->arena, "postmaster@%s", domain),
		.null_internal = true,
		.now_ms = clock_wall_ms(),
	};
	struct tls_need need = { 0 };

	if (sender[0] != '\0' &&
	    address_parse(sender, strlen(sender), ADDRESS_UTF8, &a, e) == -1) {
		return err_wrap(e, "from");
	}
	q.header_from = sender[0] == '\0' ? NULL : sender;
	select_decide(p->snapshot->select, &q, &answer);
	p->policy = answer.winners[CONF_POLICY_SECURE_DELIVERY];
	p->sender = arena_strdup(p->arena, sender);
	tls_need_of_policy(p->policy, &need);
	control_probe_add(p, "policy", &need);
	return 0;
}

static int
set_port(struct control_probe *p, const char *text, struct err *e)
{
	char *end;
	unsigned long n;

	if (text == NULL) {
		return 0;
	}
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || n == 0 ||
	    n > 65535) {
		return err_set(e, ERR_INVALID,
		               "port is not a number from 1 to 65535");
	}
	p->question.port = (uint16_t)n;
	return 0;
}

/* A domain, a host, an address with or without brackets. Mail to a domain of
 * ours takes its route. */
static int
set_name(struct control_probe *p, const char *text, struct err *e)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	const struct conf_domain *ours;
	struct net_addr a;
	struct err ignored;
	size_t len = strlen(text);

	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text = arena_strndup(p->arena, text + 1, len - 2);
		text += strncmp(text, "IPv6:", 5) == 0 ? 5 : 0;
	}
	if (net_addr_parse(text, &a, &ignored) == 0) {
		p->name =
			arena_printf(p->arena, "[%s%s]",
		                     a.family == AF_INET6 ? "IPv6:" : "", text);
		p->question.domain = p->name;
		return 0;
	}
	if (address_domain_normalise(text, strlen(text), domain, e) == -1) {
		return err_wrap(e, "name");
	}
	p->name = arena_strdup(p->arena, domain);
	p->question.domain = p->name;
	ours = conf_find_domain(p->snapshot->conf, domain);
	if (ours != NULL && ours->route != NULL) {
		p->question.domain = NULL;
		p->question.route = ours->route->name;
		p->maildir = ours->route->maildir;
	}
	return 0;
}

static int
parse(struct control_job *job, struct evkeyvalq *query, struct err *e)
{
	struct control_probe *p = job->probe;
	static const char *const known[] = { "name", "port", "from" };
	const char *name = control_query(query, "name");
	const char *from = control_query(query, "from");
	const struct evkeyval *kv;

	for (kv = query->tqh_first; kv != NULL; kv = kv->next.tqe_next) {
		size_t i = 0;

		while (i < 3 && strcmp(kv->key, known[i]) != 0) {
			i++;
		}
		if (i == 3) {
			return err_set(e, ERR_INVALID,
			               "unknown parameter; there are name, "
			               "port and from");
		}
		if (control_query(query, kv->key) != kv->value) {
			return err_set(e, ERR_INVALID, "%s is given twice",
			               known[i]);
		}
	}
	if (name == NULL || name[0] == '\0') {
		return err_set(e, ERR_INVALID,
		               "name is missing: a domain, a host or an "
		               "address");
	}
	if (set_name(p, name, e) == -1 ||
	    set_port(p, control_query(query, "port"), e) == -1) {
		return -1;
	}
	add_modes(p);
	if (from != NULL && add_winner(p, from, p->name, e) == -1) {
		return -1;
	}
	p->question.connect = true;
	return 0;
}

void
control_probe_get(struct control *c, struct evhttp_request *req)
{
	struct control_job *job = control_job_new(c, req, NULL);

	if (job == NULL) {
		return;
	}
	struct control_probe *p =
		control_probe_new(job, c->o.snapshot(c->o.arg));
	p->done = on_done;
	if (control_job_parse(job, parse) == -1) {
		return;
	}
	c->jobs++;
	if (p->maildir != NULL) {
		on_done(job);
		return;
	}
	control_probe_start(p);
}

/*
 * Two rounds of questions run beside each other: what SPF asks for, and what
 * DKIM and DMARC ask for, so that a sender whose SPF is slow or endless cannot
 * keep the author's policy from being found. The keys known, a worker takes
 * the signatures; at last DMARC is evaluated with what passed, out of answers
 * that are there. Never refuses anything, and tells no result that DNS did not
 * give.
 */
#include "daemon/receive/verify.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/net/dns_round.h"
#include "daemon/net/reactor.h"
#include "mime/header.h"
#include "store/envelope.h"
#include "store/store.h"

/* Each author's domain but the first may cost a tree walk more. RFC 7208
 * section 4.6.4 lets SPF ask for 111: the worst record that is met asks for
 * some 20. */
#define SPF_QUERIES  22
#define REST_QUERIES (VERIFY_QUERIES - SPF_QUERIES)
#define WALK_QUERIES 9
#define ROUND_MS     16000 /* leaves time for the signatures */

#define FROM_FIELDS_MAX 4

#define PIECE_MAX  65536
#define KEY_MIDDLE "._domainkey."

struct verify {
	struct task task; /* the worker's, then the way back */
	struct verify_options o;
	verify_cb done; /* NULL: nobody waits */
	void *arg;
	struct net_addr client;
	char *sender;
	char *helo;
	char *header;
	size_t header_len;
	/* Where the body is. When it is late, the worker may still read while
	 * the message is on its way: it has a copy, or reads the store. */
	uint64_t id;
	struct content_ref ref;
	uint64_t body_at;
	const char *hot; /* borrowed; NULL: in the store */
	size_t hot_len;
	char *body; /* of hot, for the worker */
	size_t body_len;
	struct timer timer;
	struct dns_round *spf_round;
	struct dns_round *rest_round; /* keys and DMARC */
	bool spf_known;
	bool rest_known;
	bool dkim_known;
	bool is_signed;                          /* has DKIM-Signature fields */
	char spf_domain[ADDRESS_DOMAIN_MAX + 1]; /* "" when unusable */
	char authors[VERIFY_AUTHORS][ADDRESS_DOMAIN_MAX + 1];
	size_t authors_n;
	const char *incomplete; /* why there may be others; NULL: all known */
	char names[DKIM_VERIFY_MAX][256]; /* of key records */
	const char *domains[DKIM_VERIFY_MAX];
	size_t names_n;
	struct auth_facts facts;
	/* the worker's */
	bool busy; /* it has the task */
	atomic_bool stop;
	struct dkim_verdict verdicts[DKIM_VERIFY_MAX];
	size_t verdicts_n;
	bool failed;
	struct err error; /* then */
};

static void
destroy(struct verify *v)
{
	timer_clear(&v->timer);
	dns_round_free(&v->spf_round);
	dns_round_free(&v->rest_round);
	free(v->sender);
	free(v->helo);
	free(v->header);
	free(v->body);
	free(v);
}

/* Nobody waits any more. What a worker has goes when it gives it back. */
static void
let_go(struct verify *v)
{
	v->done = NULL;
	if (!v->busy) {
		destroy(v);
		return;
	}
	atomic_store(&v->stop, true);
	timer_clear(&v->timer);
	dns_round_free(&v->spf_round);
}

void
verify_cancel(struct verify **vp)
{
	struct verify *v = *vp;

	if (v == NULL) {
		return;
	}
	*vp = NULL;
	let_go(v);
}

/* ---- who wrote it --------------------------------------------------- */

/* Readers may show any author, so that each is held to its domain's policy
 * (RFC 9989 section 11.5). */

static void
add_author(struct verify *v, const char *domain)
{
	for (size_t i = 0; i < v->authors_n; i++) {
		if (strcmp(v->authors[i], domain) == 0) {
			return;
		}
	}
	if (v->authors_n == VERIFY_AUTHORS) {
		v->incomplete = "authors of too many domains";
		return;
	}
	(void)snprintf(v->authors[v->authors_n], sizeof(v->authors[0]), "%s",
	               domain);
	v->authors_n++;
}

static void
read_from_field(struct verify *v, const struct header_field *f)
{
	struct header_from from;
	struct err e = { 0 };
	enum header_from_verdict verdict = header_from_domains(
		v->header + f->start, f->end - f->start, &from, &e);

	for (size_t i = 0; i < from.n_mailboxes; i++) {
		if (!from.mailboxes[i].literal) {
			add_author(v, from.mailboxes[i].domain);
		}
	}
	if (verdict == HEADER_FROM_MALFORMED && from.n_mailboxes == 0) {
		v->incomplete = "the From field cannot be read for sure";
	}
}

static void
read_authors(struct verify *v)
{
	struct header_iter it;
	struct header_field f;
	size_t fields = 0;

	header_iter_init(&it, v->header, v->header_len);
	while (header_next(&it, &f)) {
		if (!header_is(v->header, &f, "From")) {
			continue;
		}
		if (fields == FROM_FIELDS_MAX) {
			v->incomplete = "too many From fields";
			return;
		}
		read_from_field(v, &f);
		fields++;
	}
}

/* The domain whose record SPF will use. */
static void
find_spf_domain(struct verify *v)
{
	const char *at = strrchr(v->sender, '@');
	const char *domain = at == NULL ? v->sender : at + 1;

	if (domain[0] == '\0') {
		domain = v->helo;
	}
	if (address_domain_normalise(domain, strlen(domain), v->spf_domain,
	                             NULL) == -1) {
		v->spf_domain[0] = '\0';
	}
}

/* SELECTOR._domainkey.DOMAIN */
static const char *
domain_of_key(const char *name)
{
	const char *p = strstr(name, KEY_MIDDLE);

	return p == NULL ? "" : p + strlen(KEY_MIDDLE);
}

static int
selector_len(const char *name)
{
	const char *p = strstr(name, KEY_MIDDLE);

	return p == NULL ? 0 : (int)(p - name);
}

static void
read_header(struct verify *v)
{
	find_spf_domain(v);
	read_authors(v);
	v->is_signed =
		header_count(v->header, v->header_len, "DKIM-Signature") > 0;
	if (!v->is_signed) {
		return;
	}
	v->names_n = dkim_verify_names(v->header, v->header_len, v->names);
	for (size_t i = 0; i < v->names_n; i++) {
		v->domains[i] = domain_of_key(v->names[i]);
	}
}

/* ---- DMARC ---------------------------------------------------------- */

/* The one that counts when there are several. */
static unsigned
severity(const struct dmarc_report *r)
{
	switch (r->result) {
	case DMARC_PASS:
		return 0;
	case DMARC_NONE:
		return 1;
	case DMARC_PERMERROR:
		return 2;
	case DMARC_TEMPERROR:
		return 3;
	case DMARC_FAIL:
		return 4 + (unsigned)r->requested;
	}
	return 0;
}

static void
check_author(struct verify *v, const char *author, struct dmarc_report *out)
{
	const struct dns_source *dns = dns_round_source(v->rest_round);
	struct auth_dmarc ask;

	v->facts.from = author;
	auth_facts_dmarc(&v->facts, &ask);
	if (dmarc_check(&ask.query, dns, out) == DMARC_DONE) {
		return;
	}
	*out = (struct dmarc_report){ .result = DMARC_TEMPERROR };
	(void)snprintf(out->text, sizeof(out->text), "no answer in time");
}

static void
check_dmarc(struct verify *v)
{
	struct dmarc_report *best = &v->facts.dmarc;
	const char *from = NULL;

	for (size_t i = 0; i < v->authors_n; i++) {
		struct dmarc_report r;

		check_author(v, v->authors[i], &r);
		if (from == NULL || severity(&r) > severity(best)) {
			*best = r;
			from = v->authors[i];
		}
	}
	v->facts.from = from;
	if (v->incomplete != NULL && best->result != DMARC_FAIL) {
		best->result = DMARC_PERMERROR;
		(void)snprintf(best->text, sizeof(best->text), "%s",
		               v->incomplete);
	}
}

/* ---- the end -------------------------------------------------------- */

static void
complete(struct verify *v)
{
	verify_cb done = v->done;

	check_dmarc(v);
	v->done = NULL;
	done(v->arg, &v->facts);
	let_go(v);
}

static void
proceed(struct verify *v)
{
	if (v->spf_known && v->rest_known && v->dkim_known) {
		complete(v);
	}
}

/* ---- signatures ----------------------------------------------------- */

static int
feed_stored_body(struct verify *v, struct dkim_verification *d, struct err *e)
{
	const struct content_ref *ref = &v->ref;
	struct content_cursor at = { 0 };
	char *piece = mem_alloc(PIECE_MAX);
	int rc = 0;

	/* From the begin: the checksum is of all. */
	while (rc == 0 && at.offset < ref->len && !atomic_load(&v->stop)) {
		uint64_t before = at.offset;
		uint64_t left = ref->len - before;
		size_t len = left < PIECE_MAX ? (size_t)left : PIECE_MAX;
		size_t skip = 0;

		rc = store_read_next(v->o.store, v->id, ref, &at, piece, len,
		                     e);
		if (before < v->body_at) {
			skip = v->body_at - before < len
			               ? (size_t)(v->body_at - before)
			               : len;
		}
		if (rc == 0 && skip < len) {
			dkim_verify_body(d, piece + skip, len - skip);
		}
	}
	free(piece);
	return rc;
}

static int
feed_body(struct verify *v, struct dkim_verification *d, struct err *e)
{
	if (v->body == NULL) {
		return feed_stored_body(v, d, e);
	}
	dkim_verify_body(d, v->body, v->body_len);
	return 0;
}

static void on_verified(struct task *t);

/* On a worker. */
static void
run_dkim(struct task *t)
{
	struct verify *v =
		(struct verify *)((char *)t - offsetof(struct verify, task));
	struct dkim_verification *d;

	if (!atomic_load(&v->stop)) {
		d = dkim_verify_new(dns_round_source(v->rest_round));
		dkim_verify_header(d, v->header, v->header_len);
		if (feed_body(v, d, &v->error) == -1) {
			v->failed = true;
		} else if (!atomic_load(&v->stop)) {
			v->verdicts_n = dkim_verify_end(d, v->verdicts);
		}
		dkim_verify_free(&d);
	}
	v->task.run = on_verified;
	reactor_post(v->o.reactor, &v->task);
}

static void
start_dkim(struct verify *v)
{
	if (v->hot != NULL) {
		v->body_len = v->hot_len - (size_t)v->body_at;
		v->body = mem_alloc(v->body_len + 1);
		memcpy(v->body, v->hot + v->body_at, v->body_len);
	}
	v->busy = true;
	v->task.run = run_dkim;
	workers_post(v->o.workers, &v->task);
}

/* Signatures that nobody could look at count as ones that may be good. */
static void
leave_dkim_unsure(struct verify *v, const char *why)
{
	size_t n = v->names_n == 0 ? 1 : v->names_n;

	for (size_t i = 0; i < n; i++) {
		struct dkim_verdict *d = &v->facts.dkim[i];

		*d = (struct dkim_verdict){ .result = DKIM_RESULT_TEMPERROR };
		(void)snprintf(d->text, sizeof(d->text), "%s", why);
		if (v->names_n > 0) {
			(void)snprintf(d->domain, sizeof(d->domain), "%s",
			               v->domains[i]);
			(void)snprintf(d->selector, sizeof(d->selector), "%.*s",
			               selector_len(v->names[i]), v->names[i]);
		}
	}
	v->facts.dkim_n = n;
	v->dkim_known = true;
}

static void
log_failure(const struct verify *v)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_WARN, "verify_failed");
	log_id(&l, "qid", v->id);
	log_str(&l, "reason", v->error.text);
	log_end(&l);
}

static void
on_verified(struct task *t)
{
	struct verify *v =
		(struct verify *)((char *)t - offsetof(struct verify, task));

	v->busy = false;
	if (v->done == NULL) {
		destroy(v);
		return;
	}
	if (v->failed) {
		log_failure(v);
		leave_dkim_unsure(v, "the content cannot be read now");
	} else {
		memcpy(v->facts.dkim, v->verdicts, sizeof(v->facts.dkim));
		v->facts.dkim_n = v->verdicts_n;
		v->dkim_known = true;
	}
	proceed(v);
}

/* ---- questions ------------------------------------------------------ */

static int
evaluate_spf(void *arg, const struct dns_source *dns)
{
	struct verify *v = arg;
	struct spf_query q = { .client = v->client,
		               .sender = v->sender,
		               .helo = v->helo };

	return spf_check(&q, dns, &v->facts.spf) == SPF_MORE;
}

static void
on_spf_done(void *arg)
{
	struct verify *v = arg;

	v->spf_known = true;
	proceed(v);
}

/* What DMARC may ask for, when nothing passes, or all of it. */
static int
ask_dmarc(struct verify *v, const struct dns_source *dns, bool passes)
{
	int missing = 0;

	for (size_t i = 0; i < v->authors_n; i++) {
		struct dmarc_query q = { .from = v->authors[i] };
		struct dmarc_report r;

		if (passes) {
			q.spf = v->spf_domain;
			q.dkim = v->domains;
			q.dkim_n = v->names_n;
		}
		missing |= dmarc_check(&q, dns, &r) == DMARC_MORE;
	}
	return missing;
}

/* The policies of all authors before alignment, which a stranger's long names
 * among his own domains can make expensive. */
static int
evaluate_rest(void *arg, const struct dns_source *dns)
{
	struct verify *v = arg;
	int missing = 0;

	for (size_t i = 0; i < v->names_n; i++) {
		missing |= dns->ask(dns->arg, v->names[i], DNS_TXT) == NULL;
	}
	missing |= ask_dmarc(v, dns, false);
	return missing != 0 ? missing : ask_dmarc(v, dns, true);
}

static void
on_rest_done(void *arg)
{
	struct verify *v = arg;

	v->rest_known = true;
	if (v->is_signed) {
		start_dkim(v);
		return;
	}
	v->dkim_known = true;
	proceed(v);
}

/* The rounds have ended long ago: a worker is late. */
static void
on_deadline(void *arg)
{
	struct verify *v = arg;

	if (!v->spf_known) {
		v->facts.spf = (struct spf_report){ .result = SPF_TEMPERROR };
	}
	if (!v->dkim_known) {
		leave_dkim_unsure(v, "no time for the signatures");
	}
	complete(v);
}

static struct dns_round *
ask(struct verify *v, unsigned queries_max,
    int (*evaluate)(void *arg, const struct dns_source *dns),
    void (*done)(void *arg))
{
	struct dns_round_options o = {
		.resolver = v->o.resolver,
		.timeout_ms = ROUND_MS,
		.queries_max = queries_max,
		.evaluate = evaluate,
		.done = done,
		.arg = v,
	};

	return dns_round_new(&o);
}

struct verify *
verify_start(const struct verify_options *o, const struct verify_message *m,
             verify_cb done, void *arg)
{
	struct verify *v = mem_alloc(sizeof(*v));
	unsigned rest = REST_QUERIES;

	v->o = *o;
	v->done = done;
	v->arg = arg;
	v->id = m->env->id;
	v->ref = m->env->content;
	v->hot = m->env->hot;
	v->hot_len = m->env->hot_len;
	v->sender = mem_strdup(m->env->sender);
	v->client = *m->client;
	v->helo = mem_strdup(m->helo);
	v->header = mem_alloc(m->header_len + 1);
	memcpy(v->header, m->header, m->header_len);
	v->header_len = m->header_len;
	v->body_at = m->body_at;
	v->facts.sender = v->sender;
	v->facts.helo = v->helo;
	read_header(v);
	if (v->authors_n > 1) {
		rest += WALK_QUERIES * ((unsigned)v->authors_n - 1);
	}
	timer_init(&v->timer, o->reactor, on_deadline, v);
	timer_set(&v->timer, VERIFY_MS);
	v->spf_round = ask(v, SPF_QUERIES, evaluate_spf, on_spf_done);
	v->rest_round = ask(v, rest, evaluate_rest, on_rest_done);
	return v;
}

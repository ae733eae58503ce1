/*
 * TLSA look-ups of the hosts of one destination, side by side.
 */
#include "daemon/deliver/dane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/mem.h"

struct ask {
	struct dane_lookup *lookup;
	struct dns_query *query;
	char host[ADDRESS_DOMAIN_MAX + 1];
	uint16_t port;
	bool by_canonical; /* host itself is still to be asked for */
};

struct dane_lookup {
	const struct mx_source *source;
	dane_cb done;
	void *arg;
	size_t n;
	size_t pending;
	bool cancelled; /* waits for its task */
	struct task task;
	struct ask asks[MX_TARGETS_MAX];
	struct dane_host hosts[MX_TARGETS_MAX];
};

static void
free_lookup(struct dane_lookup *l)
{
	for (size_t i = 0; i < l->n; i++) {
		tlsa_set_unref(&l->hosts[i].set);
	}
	free(l);
}

static void
finish(struct dane_lookup *l)
{
	l->done(l->arg, l->hosts, l->n);
	free_lookup(l);
}

static void on_tlsa(void *arg, const struct dns_answer *answer);

static void
ask(struct ask *a, const char *base)
{
	struct dane_lookup *l = a->lookup;
	struct dane_host *h = &l->hosts[a - l->asks];
	char name[ADDRESS_DOMAIN_MAX + 20];

	(void)snprintf(h->base, sizeof(h->base), "%s", base);
	(void)snprintf(name, sizeof(name), "_%u._tcp.%s", (unsigned)a->port,
	               base);
	a->query = l->source->query(l->source->ctx, name, DNS_TLSA, on_tlsa, a);
}

/* What is given in full must be what it says, or the TLS library refuses it
 * when the session is under way. */
static bool
is_whole(const struct dns_record *r)
{
	const unsigned char *at = r->data + 3;
	const unsigned char *end = r->data + r->data_len;

	if (r->data_len <= 3 || r->data[2] != 0 ||
	    !tlsa_usable(r->data, r->data_len)) {
		return true; /* policy/tlsa.h judges */
	}
	bool good;
	if (r->data[1] == 0) {
		X509 *x = d2i_X509(NULL, &at, end - at);

		good = x != NULL && X509_get0_pubkey(x) != NULL;
		X509_free(x);
	} else {
		EVP_PKEY *key = d2i_PUBKEY(NULL, &at, end - at);

		good = key != NULL;
		EVP_PKEY_free(key);
	}
	ERR_clear_error();
	return good && at == end;
}

static void
take_records(struct dane_host *h, const struct dns_answer *answer)
{
	struct tlsa_rdata *list =
		mem_reallocarray(NULL, answer->records_n, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < answer->records_n; i++) {
		const struct dns_record *r = &answer->records[i];

		if (is_whole(r)) {
			list[n].data = r->data;
			list[n++].len = r->data_len;
		}
	}
	h->set = tlsa_set_new(list, n);
	free(list);
	if (h->set != NULL) {
		h->state = TLS_DANE_USABLE;
	} else if (answer->records_n < DNS_RECORDS_MAX) {
		h->state = TLS_DANE_UNUSABLE;
	} else {
		/* Whoever carries the answer chooses its order, and so what is
		 * cut: that must not make a host's mail less secure. */
		h->state = TLS_DANE_FAILED;
		(void)snprintf(h->why, sizeof(h->why),
		               "%.120s: too many, none usable", answer->text);
	}
}

/* The answer of one name; false: the next name is to be asked. */
static bool
take_answer(const struct ask *a, struct dane_host *h,
            const struct dns_answer *answer)
{
	switch (answer->status) {
	case DNS_OK:
		if (answer->secure) {
			take_records(h, answer);
			return true;
		}
		break;
	case DNS_NODATA:
	case DNS_NXDOMAIN:
		break;
	case DNS_SERVFAIL:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
		h->state = TLS_DANE_FAILED;
		(void)snprintf(h->why, sizeof(h->why), "%s", answer->text);
		return true;
	}
	h->base[0] = '\0';
	return !a->by_canonical;
}

static void
on_tlsa(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;
	struct dane_lookup *l = a->lookup;
	struct dane_host *h = &l->hosts[a - l->asks];

	a->query = NULL;
	if (answer->status != DNS_NODATA && answer->status != DNS_NXDOMAIN &&
	    answer->ttl < h->ttl) {
		h->ttl = answer->ttl;
	}
	if (!take_answer(a, h, answer)) {
		a->by_canonical = false;
		ask(a, a->host);
		return;
	}
	l->pending--;
	if (l->pending == 0) {
		finish(l);
	}
}

static void
on_nothing(struct task *t)
{
	struct dane_lookup *l =
		(struct dane_lookup *)((char *)t -
	                               offsetof(struct dane_lookup, task));

	if (l->cancelled) {
		free_lookup(l);
		return;
	}
	finish(l);
}

struct dane_lookup *
dane_find(const struct mx_source *source, const struct mx_target *targets,
          size_t n, dane_cb done, void *arg)
{
	struct dane_lookup *l = mem_alloc(sizeof(*l));

	l->source = source;
	l->done = done;
	l->arg = arg;
	l->n = n;
	for (size_t i = 0; i < n; i++) {
		const struct mx_target *t = &targets[i];
		struct ask *a = &l->asks[i];

		l->hosts[i].ttl = UINT32_MAX;
		if (!t->secure || t->is_address) {
			continue;
		}
		a->lookup = l;
		a->port = t->port;
		a->by_canonical = t->canonical[0] != '\0';
		(void)snprintf(a->host, sizeof(a->host), "%s", t->host);
		l->pending++;
		ask(a, a->by_canonical ? t->canonical : t->host);
	}
	if (l->pending == 0) {
		l->task.run = on_nothing;
		source->defer(source->ctx, &l->task);
	}
	return l;
}

void
dane_cancel(struct dane_lookup **lp)
{
	struct dane_lookup *l = *lp;

	*lp = NULL;
	if (l == NULL) {
		return;
	}
	if (l->pending == 0) {
		l->cancelled = true;
		return;
	}
	for (size_t i = 0; i < l->n; i++) {
		if (l->asks[i].query != NULL) {
			l->source->cancel(l->source->ctx, &l->asks[i].query);
		}
	}
	free_lookup(l);
}

#include "spf/walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/*
 * A void look-up is a term's own question without an answer; the hosts of an
 * MX or PTR have the limit of ten instead. Hosts of an answer are asked for
 * all at once, and those that have an answer are looked at first, so that the
 * result does not depend on the order in which a server names them.
 */

#define QUOTED_MAX 72

static const struct dns_answer nothing = { .status = DNS_NXDOMAIN };

/* ---- ends ----------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void
stop(struct walk *w, enum walk_stop why, const char *format, ...)
{
	va_list ap;

	if (w->stop != WALK_ON) {
		return;
	}
	w->stop = why;
	va_start(ap, format);
	(void)vsnprintf(w->report->text, sizeof(w->report->text), format, ap);
	va_end(ap);
}

static bool
is_failure(enum dns_status s)
{
	return s == DNS_SERVFAIL || s == DNS_TIMEOUT || s == DNS_BOGUS;
}

/* ---- questions ------------------------------------------------------ */

/* A name that can be asked for: labels of 1 to 63 octets of ASCII (a macro can
 * make blanks). */
static bool
is_name(const char *s)
{
	size_t label = 0;

	if (*s == '\0') {
		return false;
	}
	for (; *s != '\0'; s++) {
		if (*s == '.') {
			if (label == 0) {
				return false;
			}
			label = 0;
			continue;
		}
		if (*s < 0x20 || *s > 0x7e || ++label > 63) {
			return false;
		}
	}
	return label > 0;
}

/* NULL: not known yet. */
static const struct dns_answer *
look_up(struct walk *w, const char *name, enum dns_type type)
{
	if (!is_name(name)) {
		return &nothing;
	}
	return w->dns->ask(w->dns->arg, name, type);
}

static enum dns_type
address_type(const struct walk *w)
{
	return w->query->client.family == AF_INET6 ? DNS_AAAA : DNS_A;
}

/* Is it an answer, of whatever kind? false: w->stop. */
static bool
is_answer(struct walk *w, const struct dns_answer *a)
{
	char safe[SPF_NAME_MAX + 1];

	if (a == NULL) {
		stop(w, WALK_MORE, "%s", "");
		return false;
	}
	if (is_failure(a->status)) {
		spf_safe(safe, sizeof(safe), a->text, strlen(a->text));
		stop(w, WALK_TEMPERROR, "%s", safe);
		return false;
	}
	return true;
}

/* A void answer to a term's own question. */
static void
count_void(struct walk *w, const char *name)
{
	char safe[SPF_NAME_MAX + 1];

	if (++w->report->voids <= SPF_VOIDS_MAX) {
		return;
	}
	spf_safe(safe, sizeof(safe), name, strlen(name));
	stop(w, WALK_PERMERROR,
	     "more than %d look-ups without an answer, the last for %.120s",
	     SPF_VOIDS_MAX, safe);
}

/* A term's own question. NULL: nothing is there, or w->stop. */
static const struct dns_answer *
ask(struct walk *w, const char *name, enum dns_type type)
{
	const struct dns_answer *a = look_up(w, name, type);

	if (!is_answer(w, a)) {
		return NULL;
	}
	if (a->status == DNS_OK) {
		return a;
	}
	if (a != &nothing) {
		count_void(w, name);
	}
	return NULL;
}

/* false: one too many. */
static bool
count(struct walk *w, const struct walk_step *s)
{
	char quoted[QUOTED_MAX];

	if (++w->report->lookups <= SPF_LOOKUPS_MAX) {
		return true;
	}
	stop(w, WALK_PERMERROR, "more than %d look-ups; \"%s\" is one too many",
	     SPF_LOOKUPS_MAX,
	     spf_safe(quoted, sizeof(quoted), s->term.text, s->term.len));
	return false;
}

/* ---- validated names of the client ---------------------------------- */

static void
reverse_name(const struct walk *w, char out[SPF_NAME_MAX + 1])
{
	const uint8_t *b = w->query->client.bytes;
	size_t n = 0;

	if (w->query->client.family != AF_INET6) {
		(void)snprintf(out, SPF_NAME_MAX + 1,
		               "%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1],
		               b[0]);
		return;
	}
	for (int i = 15; i >= 0; i--) {
		n += (size_t)snprintf(out + n, SPF_NAME_MAX + 1 - n, "%x.%x.",
		                      b[i] & 15, b[i] >> 4);
	}
	(void)snprintf(out + n, SPF_NAME_MAX + 1 - n, "ip6.arpa");
}

static bool
has_address(const struct dns_answer *a, const struct net_addr *client)
{
	for (size_t i = 0; a->status == DNS_OK && i < a->records_n; i++) {
		if (net_addr_equal(&a->records[i].address, client)) {
			return true;
		}
	}
	return false;
}

/* Is name the domain (2) or below it (1)? */
static int
within(const char *name, const char *domain)
{
	size_t n = strlen(name);
	size_t d = strlen(domain);

	if (d == 0 || n < d || strcasecmp(name + n - d, domain) != 0) {
		return 0;
	}
	if (n == d) {
		return 2;
	}
	return name[n - d - 1] == '.' ? 1 : 0;
}

/* The client's validated name (section 5.5) that is closest to the domain:
 * the domain itself, one below it, any. NULL: none, or w->stop. A failure of
 * DNS makes no name valid, and is no error. */
static const char *
validated(struct walk *w, const char *domain, bool own)
{
	const struct dns_answer *ptr;
	const char *best = NULL;
	int best_is = -1;
	bool missing = false;
	char reverse[SPF_NAME_MAX + 1];

	reverse_name(w, reverse);
	ptr = look_up(w, reverse, DNS_PTR);
	if (ptr == NULL) {
		stop(w, WALK_MORE, "%s", "");
		return NULL;
	}
	if (ptr->status != DNS_OK) {
		if (own && !is_failure(ptr->status)) {
			count_void(w, reverse);
		}
		return NULL;
	}
	for (size_t i = 0; i < ptr->records_n && i < WALK_HOSTS_MAX; i++) {
		const char *name = ptr->records[i].name;
		const struct dns_answer *a = look_up(w, name, address_type(w));
		int is = within(name, domain);

		missing = missing || a == NULL;
		if (a != NULL && is > best_is &&
		    has_address(a, &w->query->client)) {
			best = name;
			best_is = is;
		}
	}
	if (missing && best_is < 2) {
		stop(w, WALK_MORE, "%s", "");
		return NULL;
	}
	return best;
}

/* ---- names of terms ------------------------------------------------- */

/* The step's name, its macros expanded. -1: w->stop. */
static int
target(struct walk *w, const struct walk_step *s, char out[SPF_NAME_MAX + 1])
{
	const struct spf_guard_query *q = w->query;
	const char *domain = w->records[s->record].domain;
	struct spf_macro_values v = {
		.sender = q->sender,
		.local = q->local,
		.local_len = q->local_len,
		.sender_domain = q->domain,
		.domain = domain,
		.client = w->client,
		.version = q->client.family == AF_INET6 ? "ip6" : "in-addr",
		.helo = q->helo,
	};

	if (s->term.value_len == 0) {
		(void)snprintf(out, SPF_NAME_MAX + 1, "%s", domain);
		return 0;
	}
	if (spf_macro_validated(s->term.value, s->term.value_len)) {
		v.validated = validated(w, domain, false);
		if (w->stop != WALK_ON) {
			return -1;
		}
	}
	spf_macro_expand(&v, s->term.value, s->term.value_len, out);
	return 0;
}

/* Is at the step: what was matched last is known then. */
static void
visit(struct walk *w, const struct walk_step *s)
{
	if (w->records[s->record].top) {
		w->matched = &s->term;
	}
}

/* ---- records -------------------------------------------------------- */

static bool
match_network(const struct spf_term *t, const struct net_addr *client)
{
	unsigned bits = t->kind == SPF_TERM_IP4 ? t->bits4 : t->bits6;
	unsigned octets = bits / 8;
	unsigned rest = bits % 8;

	if (t->net.family != client->family ||
	    memcmp(t->net.bytes, client->bytes, octets) != 0) {
		return false;
	}
	return rest == 0 || ((t->net.bytes[octets] ^ client->bytes[octets]) >>
	                     (8 - rest)) == 0;
}

static void
add(struct walk *w, const struct spf_term *t, unsigned record,
    char out[WALK_TEXT_MAX])
{
	size_t n = strlen(out);
	const char *as = "exists";
	char bits[8] = "";

	if (w->steps_n == WALK_STEPS_MAX) {
		return; /* as many records as that, the limit does not allow */
	}
	if (t->kind == SPF_TERM_A || t->kind == SPF_TERM_MX) {
		as = t->kind == SPF_TERM_A ? "a" : "mx";
		if (w->query->client.family == AF_INET6) {
			(void)snprintf(bits, sizeof(bits), "//%u", t->bits6);
		} else {
			(void)snprintf(bits, sizeof(bits), "/%u", t->bits4);
		}
		if (strcmp(bits, "/0") == 0 || strcmp(bits, "//0") == 0) {
			bits[0] = '\0';
		}
	} else if (t->kind == SPF_TERM_INCLUDE) {
		as = "include";
	}
	w->steps[w->steps_n].term = *t;
	w->steps[w->steps_n].record = record;
	w->steps[w->steps_n].hosts_n = 0;
	if (t->kind == SPF_TERM_REDIRECT) {
		(void)snprintf(out + n, WALK_TEXT_MAX - n, " redirect=%u.t",
		               w->steps_n);
	} else {
		(void)snprintf(out + n, WALK_TEXT_MAX - n, " %c%s:%u.t%s",
		               t->qualifier, as, w->steps_n, bits);
	}
	w->steps_n++;
}

/* Looks at every term, for a record is malformed as a whole; hands on only
 * what can still matter. */
static int
rewrite(struct walk *w, const struct dns_record *r, unsigned record,
        char out[WALK_TEXT_MAX])
{
	struct spf_terms at;
	struct spf_term t;
	struct spf_term redirect = { .kind = SPF_TERM_ALL };
	char why[SPF_TEXT_MAX];
	unsigned counted = 0;
	bool over = false; /* nothing behind it is ever reached */
	int r_next;

	(void)snprintf(out, WALK_TEXT_MAX, "v=spf1");
	spf_terms_begin(&at, r->data, r->data_len);
	while ((r_next = spf_terms_next(&at, &t, why)) == 1) {
		bool ends = false;

		switch (t.kind) {
		case SPF_TERM_ALL:
			ends = true;
			break;
		case SPF_TERM_IP4:
		case SPF_TERM_IP6:
			if (!match_network(&t, &w->query->client)) {
				continue;
			}
			ends = true;
			break;
		case SPF_TERM_INCLUDE:
		case SPF_TERM_A:
		case SPF_TERM_MX:
		case SPF_TERM_PTR:
		case SPF_TERM_EXISTS:
			ends = counted++ == SPF_LOOKUPS_MAX;
			break;
		case SPF_TERM_REDIRECT:
			redirect = t;
			continue;
		case SPF_TERM_EXP:
		case SPF_TERM_MODIFIER:
			continue;
		}
		if (!over) {
			add(w, &t, record, out);
		}
		over = over || ends;
	}
	if (r_next == -1) {
		stop(w, WALK_PERMERROR, "%s: %s", w->records[record].domain,
		     why);
		return -1;
	}
	if (!over && redirect.kind == SPF_TERM_REDIRECT) {
		add(w, &redirect, record, out);
	}
	return 0;
}

/* The domain has no record: nothing to say of it for the first, an error in
 * the record that refers to it. */
static int
no_record(struct walk *w, const struct walk_step *step, const char *domain)
{
	char quoted[QUOTED_MAX];
	char safe[SPF_NAME_MAX + 1];

	if (step == NULL) {
		stop(w, WALK_NONE, "%s", "");
		return -1;
	}
	stop(w, WALK_PERMERROR, "\"%s\": %.100s has no SPF record",
	     spf_safe(quoted, sizeof(quoted), step->term.text, step->term.len),
	     spf_safe(safe, sizeof(safe), domain, strlen(domain)));
	return -1;
}

int
walk_record(struct walk *w, struct walk_step *step, char out[WALK_TEXT_MAX])
{
	const struct dns_answer *a = NULL;
	const struct dns_record *found = NULL;
	struct walk_record *r = &w->records[w->records_n];

	if (step != NULL) {
		visit(w, step);
		if (!count(w, step) || target(w, step, r->domain) == -1) {
			return -1;
		}
		r->top = w->records[step->record].top &&
		         step->term.kind == SPF_TERM_REDIRECT;
		a = ask(w, r->domain, DNS_TXT);
	} else {
		(void)snprintf(r->domain, sizeof(r->domain), "%s",
		               w->query->domain);
		r->top = true;
		a = look_up(w, r->domain, DNS_TXT);
		if (is_answer(w, a) && a->status != DNS_OK) {
			a = NULL; /* no look-up that counts, void or not */
		}
	}
	if (w->stop != WALK_ON) {
		return -1;
	}
	for (size_t i = 0; a != NULL && i < a->records_n; i++) {
		const struct dns_record *t = &a->records[i];

		if (!spf_terms_version(t->data, t->data_len)) {
			continue;
		}
		if (found != NULL) {
			stop(w, WALK_PERMERROR,
			     "%.120s has several SPF records", r->domain);
			return -1;
		}
		found = t;
	}
	if (found == NULL) {
		return no_record(w, step, r->domain);
	}
	return rewrite(w, found, w->records_n++, out);
}

/* ---- steps ---------------------------------------------------------- */

const struct dns_answer *
walk_addresses(struct walk *w, struct walk_step *s)
{
	char name[SPF_NAME_MAX + 1];

	visit(w, s);
	if (!count(w, s) || target(w, s, name) == -1) {
		return NULL;
	}
	return ask(w, name, address_type(w));
}

/* Those of the same kind of answer keep their order. */
static void
order_hosts(struct walk *w, struct walk_step *s, const struct dns_answer *mx)
{
	const struct dns_answer *answers[WALK_HOSTS_MAX];
	size_t n = mx->records_n;

	for (size_t i = 0; i < n; i++) {
		answers[i] = look_up(w, mx->records[i].name, address_type(w));
	}
	for (int kind = 0; kind < 3; kind++) {
		for (size_t i = 0; i < n; i++) {
			const struct dns_answer *a = answers[i];
			int is = a == NULL ? 1 : is_failure(a->status) ? 2 : 0;

			if (is == kind) {
				s->hosts[s->hosts_n++] = &mx->records[i];
			}
		}
	}
}

size_t
walk_hosts(struct walk *w, struct walk_step *s)
{
	char name[SPF_NAME_MAX + 1];

	visit(w, s);
	if (!count(w, s) || target(w, s, name) == -1) {
		return 0;
	}
	const struct dns_answer *mx = ask(w, name, DNS_MX);
	if (mx == NULL) {
		return 0;
	}
	if (mx->records_n > WALK_HOSTS_MAX) {
		stop(w, WALK_PERMERROR, "%.120s has more than %d MX records",
		     name, WALK_HOSTS_MAX);
		return 0;
	}
	order_hosts(w, s, mx);
	return s->hosts_n;
}

const struct dns_answer *
walk_host_addresses(struct walk *w, const struct walk_step *s, size_t host)
{
	const struct dns_answer *a =
		look_up(w, s->hosts[host]->name, address_type(w));

	return is_answer(w, a) && a->status == DNS_OK ? a : NULL;
}

bool
walk_matches(struct walk *w, struct walk_step *s)
{
	char name[SPF_NAME_MAX + 1];

	visit(w, s);
	if (s->term.kind != SPF_TERM_EXISTS && s->term.kind != SPF_TERM_PTR) {
		return true; /* all, or a network that the client is in */
	}
	if (!count(w, s) || target(w, s, name) == -1) {
		return false;
	}
	if (s->term.kind == SPF_TERM_PTR) {
		const char *is = validated(w, name, true);

		return is != NULL && within(is, name) > 0;
	}
	return ask(w, name, DNS_A) != NULL;
}

void
walk_init(struct walk *w, const struct spf_guard_query *q,
          const struct dns_source *dns, struct spf_report *report)
{
	const uint8_t *b = q->client.bytes;
	size_t n = 0;

	/* Not all of it: steps are written before they are read. */
	w->query = q;
	w->dns = dns;
	w->report = report;
	w->stop = WALK_ON;
	w->matched = NULL;
	w->records_n = 0;
	w->steps_n = 0;
	if (q->client.family != AF_INET6) {
		(void)snprintf(w->client, sizeof(w->client), "%d.%d.%d.%d",
		               b[0], b[1], b[2], b[3]);
		return;
	}
	for (size_t i = 0; i < 16; i++) {
		n += (size_t)snprintf(w->client + n, sizeof(w->client) - n,
		                      i < 15 ? "%x.%x." : "%x.%x", b[i] >> 4,
		                      b[i] & 15);
	}
}

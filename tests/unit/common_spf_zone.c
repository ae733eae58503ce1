/*
 * DNS in memory for evaluations of SPF.
 */
#include "tests/unit/common_spf_zone.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ROUNDS_MAX 300
#define CHAIN_MAX  8
#define ASKED_MAX  20000

struct entry {
	char name[ADDRESS_DOMAIN_MAX + 1];
	unsigned type;  /* 0: the name only */
	unsigned known; /* since which round; 0: it was not asked for */
	struct dns_answer answer;
};

struct spf_zone {
	struct entry **entries;
	size_t entries_n;
	char **asked;
	size_t asked_n;
	bool slow;
	unsigned round;
};

static const char *
type_word(unsigned type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_AAAA:
		return "AAAA";
	case DNS_MX:
		return "MX";
	case DNS_PTR:
		return "PTR";
	case DNS_TXT:
		return "TXT";
	case DNS_CNAME:
		return "CNAME";
	default:
		return "?";
	}
}

struct spf_zone *
spf_zone_new(void)
{
	return mem_alloc(sizeof(struct spf_zone));
}

static void
forget_records(struct dns_answer *a)
{
	for (size_t i = 0; i < a->records_n; i++) {
		free(mem_unconst(a->records[i].data));
	}
	free(a->records);
}

void
spf_zone_clear_asked(struct spf_zone *z)
{
	for (size_t i = 0; i < z->asked_n; i++) {
		free(z->asked[i]);
	}
	free(z->asked);
	z->asked = NULL;
	z->asked_n = 0;
}

void
spf_zone_free(struct spf_zone **zp)
{
	struct spf_zone *z = *zp;

	*zp = NULL;
	if (z == NULL) {
		return;
	}
	for (size_t i = 0; i < z->entries_n; i++) {
		forget_records(&z->entries[i]->answer);
		free(z->entries[i]);
	}
	free(z->entries);
	spf_zone_clear_asked(z);
	free(z);
}

/* Lower case, no last dot, cut at what a name can hold. */
static void
plain(const char *name, char out[ADDRESS_DOMAIN_MAX + 1])
{
	size_t n = strlen(name);

	n = n > 0 && name[n - 1] == '.' ? n - 1 : n;
	n = n < ADDRESS_DOMAIN_MAX ? n : ADDRESS_DOMAIN_MAX;
	for (size_t i = 0; i < n; i++) {
		out[i] = (char)tolower((unsigned char)name[i]);
	}
	out[n] = '\0';
}

static struct entry *
find(const struct spf_zone *z, const char *name, unsigned type)
{
	for (size_t i = 0; i < z->entries_n; i++) {
		struct entry *e = z->entries[i];

		if (e->type == type && strcmp(e->name, name) == 0) {
			return e;
		}
	}
	return NULL;
}

static bool
exists(const struct spf_zone *z, const char *name)
{
	for (size_t i = 0; i < z->entries_n; i++) {
		if (strcmp(z->entries[i]->name, name) == 0 &&
		    z->entries[i]->answer.status != DNS_NXDOMAIN) {
			return true;
		}
	}
	return false;
}

static struct entry *
make(struct spf_zone *z, const char *name, unsigned type)
{
	struct entry *e;
	char key[ADDRESS_DOMAIN_MAX + 1];

	plain(name, key);
	e = find(z, key, type);
	if (e != NULL) {
		return e;
	}
	e = mem_alloc(sizeof(*e));
	(void)snprintf(e->name, sizeof(e->name), "%s", key);
	e->type = type;
	(void)snprintf(e->answer.text, sizeof(e->answer.text),
	               "answer for %.100s (%s)", key, type_word(type));
	z->entries = mem_reallocarray(z->entries, z->entries_n + 1,
	                              sizeof(struct entry *));
	z->entries[z->entries_n++] = e;
	return e;
}

static struct dns_record *
put(struct spf_zone *z, const char *name, enum dns_type type)
{
	struct dns_answer *a = &make(z, name, type)->answer;

	a->records = mem_reallocarray(a->records, a->records_n + 1,
	                              sizeof(a->records[0]));
	memset(&a->records[a->records_n], 0, sizeof(a->records[0]));
	return &a->records[a->records_n++];
}

void
spf_zone_add_text(struct spf_zone *z, const char *name, const void *data,
                  size_t len)
{
	struct dns_record *r = put(z, name, DNS_TXT);
	/* Of its very size, so that a step beyond shows. */
	uint8_t *copy = mem_alloc(len > 0 ? len : 1);

	if (len > 0) {
		memcpy(copy, data, len);
	}
	r->data = copy;
	r->data_len = len;
}

void
spf_zone_add(struct spf_zone *z, const char *name, enum dns_type type,
             const char *value)
{
	const char *blank = strchr(value, ' ');
	struct dns_record *r;

	if (type == DNS_TXT) {
		spf_zone_add_text(z, name, value, strlen(value));
		return;
	}
	r = put(z, name, type);
	if (type == DNS_A || type == DNS_AAAA) {
		if (inet_pton(type == DNS_A ? AF_INET : AF_INET6, value,
		              r->address.bytes) != 1) {
			(void)fprintf(stderr, "zone: %s is no address\n",
			              value);
			abort();
		}
		r->address.family = type == DNS_A ? AF_INET : AF_INET6;
		return;
	}
	if (type == DNS_MX && blank != NULL) {
		r->preference = (uint16_t)strtoul(value, NULL, 10);
		value = blank + 1;
	}
	plain(value, r->name);
}

void
spf_zone_fail(struct spf_zone *z, const char *name, unsigned type,
              enum dns_status status)
{
	make(z, name, type)->answer.status = status;
}

void
spf_zone_slow(struct spf_zone *z, bool slow)
{
	z->slow = slow;
	for (size_t i = 0; i < z->entries_n; i++) {
		z->entries[i]->known = 0;
	}
}

/* The entry that answers; a new one when the zone has none. */
static struct entry *
answer(struct spf_zone *z, const char *name, enum dns_type type)
{
	char at[ADDRESS_DOMAIN_MAX + 1];
	struct entry *e;

	(void)snprintf(at, sizeof(at), "%s", name);
	for (int i = 0; i < CHAIN_MAX; i++) {
		e = find(z, at, type);
		if (e != NULL) {
			return e;
		}
		e = find(z, at, 0);
		if (e != NULL && e->answer.status != DNS_OK) {
			return e;
		}
		e = find(z, at, DNS_CNAME);
		if (e == NULL) {
			break;
		}
		(void)snprintf(at, sizeof(at), "%s", e->answer.records[0].name);
	}
	enum dns_status status = exists(z, at) ? DNS_NODATA : DNS_NXDOMAIN;
	e = make(z, name, type);
	e->answer.status = status;
	return e;
}

static const struct dns_answer *
ask(void *arg, const char *name, enum dns_type type)
{
	struct spf_zone *z = arg;
	char key[ADDRESS_DOMAIN_MAX + 1];

	if (z->asked_n == ASKED_MAX) {
		(void)fprintf(stderr, "zone: more than %d questions\n",
		              ASKED_MAX);
		abort();
	}
	plain(name, key);
	z->asked = mem_reallocarray(z->asked, z->asked_n + 1, sizeof(char *));
	z->asked[z->asked_n++] = mem_printf("%s %s", type_word(type), key);
	struct entry *e = answer(z, key, type);
	if (z->slow && (e->known == 0 || e->known > z->round)) {
		e->known = z->round + 1;
		return NULL;
	}
	return &e->answer;
}

struct dns_source
spf_zone_source(struct spf_zone *z)
{
	return (struct dns_source){ .ask = ask, .arg = z };
}

const char *
spf_zone_asked(const struct spf_zone *z, size_t i)
{
	return i < z->asked_n ? z->asked[i] : NULL;
}

void
spf_zone_next_round(struct spf_zone *z)
{
	z->round++;
}

unsigned
spf_zone_check(struct spf_zone *z, const struct spf_query *q,
               struct spf_report *out)
{
	struct dns_source dns = spf_zone_source(z);

	for (unsigned i = 1; i <= ROUNDS_MAX; i++) {
		spf_zone_next_round(z);
		if (spf_check(q, &dns, out) == SPF_DONE) {
			return i;
		}
	}
	return 0;
}

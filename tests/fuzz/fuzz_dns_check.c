/*
 * Records of a domain, a line each: a digit for the name, then the TXT record.
 * Every text about them is printable, whatever is to be done says so, and an
 * SPF record that is offered is well-formed, has the include, and lets nobody
 * else send.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/index.h"
#include "dkim/key.h"
#include "policy/dns_check.h"
#include "spf/checker.h"
#include "tests/fuzz/common_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 20
#define INCLUDE     "nb.example.net"

static const char *const names[] = {
	"example.com",          INCLUDE,
	"_dmarc.example.com",   "s1._domainkey.example.com",
	"_mta-sts.example.com", "_smtp._tls.example.com",
	"x.example.com",
};

#define NAMES (sizeof(names) / sizeof(names[0]))

struct zone {
	struct dns_record records[NAMES][RECORDS_MAX];
	struct dns_answer answers[NAMES];
};

static const struct dns_answer nothing = { .status = DNS_NXDOMAIN,
	                                   .text = "NXDOMAIN" };

static const struct dns_answer *
ask(void *arg, const char *name, enum dns_type type)
{
	const struct zone *z = arg;

	for (size_t i = 0; i < NAMES; i++) {
		if (type == DNS_TXT && z->answers[i].records_n > 0 &&
		    strcmp(names[i], name) == 0) {
			return &z->answers[i];
		}
	}
	return &nothing;
}

/* Each record in a block of its very size, so that a step beyond shows. */
static void
add_record(struct zone *z, const uint8_t *data, size_t len)
{
	struct dns_answer *a;
	uint8_t *copy;

	if (len < 2) {
		return;
	}
	a = &z->answers[data[0] % NAMES];
	if (a->records_n == RECORDS_MAX) {
		return;
	}
	copy = malloc(len - 1);
	CHECK(copy != NULL);
	memcpy(copy, data + 1, len - 1);
	a->records = z->records[data[0] % NAMES];
	a->records[a->records_n].data = copy;
	a->records[a->records_n++].data_len = len - 1;
}

static void
fill(struct zone *z, const uint8_t *data, size_t size)
{
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end == NULL ? size : (size_t)(end - data);

		add_record(z, data, len);
		len += end != NULL;
		data += len;
		size -= len;
	}
}

static void
check_text(const char *s)
{
	for (; s != NULL && *s != '\0'; s++) {
		CHECK(*s == '\n' || (*s >= ' ' && *s <= '~'));
	}
}

/* The strings of a line of a zone file, joined. */
static void
check_offered(const char *line)
{
	struct dns_record record = { 0 };
	struct dns_answer a = { .records = &record, .records_n = 1 };
	struct spf_record spf;
	const char *all;
	struct buf value;
	bool in = false;

	buf_init(&value, 65536);
	for (; *line != '\0'; line++) {
		if (*line == '"') {
			in = !in;
		} else if (in) {
			line += *line == '\\';
			buf_add(&value, line, 1);
		}
	}
	record.data = (const uint8_t *)buf_cstr(&value);
	record.data_len = buf_len(&value);
	CHECK(spf_record_of(&a, &spf) == SPF_RECORD_GOOD);
	CHECK(spf_record_includes(&spf, INCLUDE));
	all = spf_record_all(&spf);
	CHECK(all == NULL || all[0] == '-' || all[0] == '~');
	buf_clear(&value);
}

static void
judge(struct zone *z, const struct dkim_key *key)
{
	static struct net_addr egress[] = {
		{ .family = AF_INET, .bytes = { 192, 0, 2, 1 } },
		{ .family = AF_INET6, .bytes = { 0x20, 1, 0xd, 0xb8 } },
	};
	static struct conf_dkim dkim = { .name = "d",
		                         .domain = "example.com",
		                         .selector = "s1" };
	static struct conf_index index; /* no internal domain */
	struct conf conf = { .gateway = { .hostname = "gw.example.net",
		                          .spf_include = INCLUDE,
		                          .egress = egress,
		                          .egress_n = 2 },
		             .dkim = &dkim,
		             .dkim_n = 1,
		             .index = &index };
	struct arena *arena = arena_new(1024);
	struct dns_check_signing signing;
	const struct dns_check_question q = { .conf = &conf,
		                              .domain = "example.com",
		                              .signing = &signing,
		                              .keep_until = "2026-12-24" };
	const struct dns_source source = { .ask = ask, .arg = z };
	struct dns_checks checks;

	dns_check_signing_find(&conf, q.domain, 0, arena, &signing);
	CHECK(signing.n == 1);
	signing.list[0].key = key;
	CHECK(dns_check(&q, &source, arena, &checks) == DNS_CHECK_DONE);
	CHECK(checks.n > 5);
	for (size_t i = 0; i < checks.n; i++) {
		const struct dns_check *c = &checks.list[i];

		check_text(c->subject);
		check_text(c->found);
		check_text(c->action);
		check_text(c->record);
		CHECK(c->found[0] != '\0');
		CHECK((c->action == NULL) == (c->result == DNS_CHECK_PASS));
		if (strncmp(c->id, "spf.", 4) == 0 && c->record != NULL) {
			check_offered(c->record);
		}
	}
	arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dkim_key *key;
	struct zone *z = calloc(1, sizeof(*z));

	CHECK(z != NULL);
	if (key == NULL) {
		key = dkim_key_make(DKIM_ED25519_SHA256, 0, NULL);
		CHECK(key != NULL);
	}
	fill(z, data, size);
	judge(z, key);
	for (size_t i = 0; i < NAMES; i++) {
		for (size_t k = 0; k < z->answers[i].records_n; k++) {
			free(mem_unconst(z->records[i][k].data));
		}
	}
	free(z);
	return 0;
}

/*
 * Needs, floors and moves (policy/tls_level.h): the whole space of moves
 * against a table of its own, what must hold for every floor, and the text of
 * needs there and back. Checklist B08, B09, C62, C67, C70, C71.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "conf/conf.h"
#include "policy/tls_level.h"

#define V TLS_MOVE_VERIFIED
#define E TLS_MOVE_ENCRYPTED
#define C TLS_MOVE_CLEAR
#define R TLS_MOVE_CLEAR_ANEW
#define A TLS_MOVE_AWAY

#define PEERS 5

/* Peers in the order of enum tls_peer: silent, refused, broken, untrusted,
 * trusted. */
static const struct {
	const char *what;
	struct tls_need need;
	struct tls_host host;
	enum tls_move moves[PEERS];
	enum tls_by by;
} table[] = {
	{ "no policy", { 0 }, { 0 }, { C, C, R, E, V }, TLS_BY_NOBODY },
	{ "opportunistic, strict, encrypt",
	  { .strict = true },
	  { 0 },
	  { C, C, R, E, V },
	  TLS_BY_NOBODY },
	{ "opportunistic, strict, clear",
	  { .strict = true, .untrusted = TLS_UNTRUSTED_CLEAR },
	  { 0 },
	  { C, C, R, R, V },
	  TLS_BY_NOBODY },
	{ "opportunistic, strict, defer",
	  { .strict = true, .untrusted = TLS_UNTRUSTED_DEFER },
	  { 0 },
	  { C, C, R, A, V },
	  TLS_BY_NOBODY },
	{ "enforced, relaxed",
	  { .option = TLS_ENFORCED },
	  { 0 },
	  { A, A, A, E, V },
	  TLS_BY_POLICY },
	{ "enforced, strict",
	  { .option = TLS_ENFORCED, .strict = true },
	  { 0 },
	  { A, A, A, A, V },
	  TLS_BY_POLICY },
	{ "no_tls",
	  { .option = TLS_NEVER },
	  { 0 },
	  { C, C, C, C, C },
	  TLS_BY_NOBODY },
	/* DANE (RFC 7672 section 2.2). */
	{ "DANE",
	  { 0 },
	  { .dane = TLS_DANE_USABLE },
	  { A, A, A, A, V },
	  TLS_BY_DANE },
	{ "DANE, not honoured",
	  { .no_dane = true },
	  { .dane = TLS_DANE_USABLE },
	  { C, C, R, E, V },
	  TLS_BY_NOBODY },
	{ "DANE against no_tls",
	  { .option = TLS_NEVER },
	  { .dane = TLS_DANE_USABLE },
	  { A, A, A, A, V },
	  TLS_BY_DANE },
	{ "DANE without a usable record",
	  { 0 },
	  { .dane = TLS_DANE_UNUSABLE },
	  { A, A, A, E, V },
	  TLS_BY_DANE },
	{ "the same, and untrusted = clear: never in clear",
	  { .strict = true, .untrusted = TLS_UNTRUSTED_CLEAR },
	  { .dane = TLS_DANE_UNUSABLE },
	  { A, A, A, E, V },
	  TLS_BY_DANE },
	{ "the same, and untrusted = defer",
	  { .strict = true, .untrusted = TLS_UNTRUSTED_DEFER },
	  { .dane = TLS_DANE_UNUSABLE },
	  { A, A, A, A, V },
	  TLS_BY_DANE },
	{ "the same, and enforced strict",
	  { .option = TLS_ENFORCED, .strict = true },
	  { .dane = TLS_DANE_UNUSABLE },
	  { A, A, A, A, V },
	  TLS_BY_POLICY },
	{ "DANE of which nobody knows",
	  { 0 },
	  { .dane = TLS_DANE_FAILED },
	  { A, A, A, A, A },
	  TLS_BY_DANE },
	{ "DANE of which nobody knows, against no_tls",
	  { .option = TLS_NEVER },
	  { .dane = TLS_DANE_FAILED },
	  { A, A, A, A, A },
	  TLS_BY_DANE },
	/* MTA-STS (RFC 8461 section 5). */
	{ "MTA-STS, testing",
	  { 0 },
	  { .sts = TLS_STS_TESTING },
	  { C, C, R, E, V },
	  TLS_BY_NOBODY },
	{ "MTA-STS, enforced",
	  { 0 },
	  { .sts = TLS_STS_ENFORCE },
	  { A, A, A, A, V },
	  TLS_BY_MTA_STS },
	{ "MTA-STS, a host that is not listed",
	  { 0 },
	  { .sts = TLS_STS_UNLISTED },
	  { A, A, A, A, A },
	  TLS_BY_MTA_STS },
	{ "MTA-STS, not honoured",
	  { .no_mta_sts = true },
	  { .sts = TLS_STS_UNLISTED },
	  { C, C, R, E, V },
	  TLS_BY_NOBODY },
	{ "MTA-STS against no_tls",
	  { .option = TLS_NEVER },
	  { .sts = TLS_STS_ENFORCE },
	  { A, A, A, A, V },
	  TLS_BY_MTA_STS },
	/* C71: DANE goes before MTA-STS. */
	{ "DANE, MTA-STS does not list the host",
	  { 0 },
	  { .dane = TLS_DANE_USABLE, .sts = TLS_STS_UNLISTED },
	  { A, A, A, A, V },
	  TLS_BY_DANE },
	{ "DANE without a usable record, MTA-STS enforced",
	  { 0 },
	  { .dane = TLS_DANE_UNUSABLE, .sts = TLS_STS_ENFORCE },
	  { A, A, A, A, V },
	  TLS_BY_MTA_STS },
	{ "DANE of which nobody knows, MTA-STS enforced",
	  { 0 },
	  { .dane = TLS_DANE_FAILED, .sts = TLS_STS_ENFORCE },
	  { A, A, A, A, A },
	  TLS_BY_DANE },
	/* An enforced policy's own trust stands above both. */
	{ "enforced with a CA file, DANE",
	  { .option = TLS_ENFORCED, .strict = true, .ca_file = "x" },
	  { .dane = TLS_DANE_FAILED, .sts = TLS_STS_UNLISTED },
	  { A, A, A, A, V },
	  TLS_BY_POLICY },
	{ "opportunistic with a CA file, DANE",
	  { .strict = true, .ca_file = "x" },
	  { .dane = TLS_DANE_USABLE },
	  { A, A, A, A, V },
	  TLS_BY_DANE },
	/* RFC 8689. */
	{ "TLS-Required: No, DANE and MTA-STS",
	  { .optional = true },
	  { .dane = TLS_DANE_FAILED, .sts = TLS_STS_UNLISTED },
	  { C, C, R, E, V },
	  TLS_BY_NOBODY },
	{ "TLS-Required: No, enforced",
	  { .optional = true, .option = TLS_ENFORCED },
	  { .dane = TLS_DANE_USABLE },
	  { A, A, A, E, V },
	  TLS_BY_POLICY },
	{ "REQUIRETLS, MX by DNSSEC",
	  { .require_tls = true },
	  { .certain = true },
	  { A, A, A, A, V },
	  TLS_BY_REQUIRETLS },
	{ "REQUIRETLS, MX by MTA-STS",
	  { .require_tls = true },
	  { .sts = TLS_STS_ENFORCE },
	  { A, A, A, A, V },
	  TLS_BY_MTA_STS },
	{ "REQUIRETLS, MX by nothing",
	  { .require_tls = true },
	  { .sts = TLS_STS_TESTING },
	  { A, A, A, A, A },
	  TLS_BY_REQUIRETLS },
	{ "REQUIRETLS against no_tls and TLS-Required: No",
	  { .require_tls = true, .optional = true, .option = TLS_NEVER },
	  { .certain = true },
	  { A, A, A, A, V },
	  TLS_BY_REQUIRETLS },
	{ "REQUIRETLS and DANE",
	  { .require_tls = true },
	  { .dane = TLS_DANE_USABLE, .certain = true },
	  { A, A, A, A, V },
	  TLS_BY_DANE },
};

static void
test_moves(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tls_floor f;

		tls_floor_set(&table[i].need, &table[i].host, &f);
		if (f.by != table[i].by) {
			fail_msg("%s: asked for by %s", table[i].what,
			         tls_by_word(f.by));
		}
		for (unsigned p = 0; p < PEERS; p++) {
			enum tls_move m = tls_floor_move(&f, (enum tls_peer)p);
			if (m != table[i].moves[p]) {
				fail_msg("%s: who %s: %s", table[i].what,
				         tls_peer_phrase((enum tls_peer)p),
				         tls_move_word(m));
			}
		}
	}
}

/* Every need with every host. */
static void
each(void (*check)(const struct tls_need *, const struct tls_host *,
                   const struct tls_floor *))
{
	for (unsigned n = 0; n < 3 * 3 * 64 * 2; n++) {
		struct tls_need need = {
			.option = (enum tls_option)(n % 3),
			.untrusted = (enum tls_untrusted)(n / 3 % 3),
			.strict = (n / 9 & 1) != 0,
			.no_dane = (n / 9 & 2) != 0,
			.no_mta_sts = (n / 9 & 4) != 0,
			.require_tls = (n / 9 & 8) != 0,
			.optional = (n / 9 & 16) != 0,
			.ca_file = (n / 9 & 32) != 0 ? "ca" : NULL,
			.strong = (n / 9 & 64) != 0,
		};
		for (unsigned h = 0; h < 4 * 4 * 2; h++) {
			struct tls_host host = {
				.dane = (enum tls_dane)(h % 4),
				.sts = (enum tls_sts)(h / 4 % 4),
				.certain = h / 16 != 0,
			};
			struct tls_floor f;

			tls_floor_set(&need, &host, &f);
			check(&need, &host, &f);
		}
	}
}

/* Rule 5 for the whole space: what is enforced, by whomever, never goes in
 * clear, nor to a peer that is not trusted when trust is asked for. */
static void
never_weaker(const struct tls_need *need, const struct tls_host *host,
             const struct tls_floor *f)
{
	bool published = !need->optional || need->require_tls;
	bool own = need->option == TLS_ENFORCED && need->strict &&
	           need->ca_file != NULL;
	bool dane = published && !own && !need->no_dane;
	bool sts = published && !own && !need->no_mta_sts &&
	           !(dane && host->dane == TLS_DANE_USABLE);
	bool encrypted = need->option == TLS_ENFORCED || need->require_tls ||
	                 (dane && host->dane != TLS_DANE_NONE) ||
	                 (sts && (host->sts == TLS_STS_ENFORCE ||
	                          host->sts == TLS_STS_UNLISTED));
	bool trusted = (need->option == TLS_ENFORCED && need->strict) ||
	               need->require_tls ||
	               (dane && (host->dane == TLS_DANE_USABLE ||
	                         host->dane == TLS_DANE_FAILED)) ||
	               (sts && (host->sts == TLS_STS_ENFORCE ||
	                        host->sts == TLS_STS_UNLISTED));

	for (unsigned p = 0; p < PEERS; p++) {
		enum tls_move m = tls_floor_move(f, (enum tls_peer)p);

		if (encrypted) {
			assert_true(m != C && m != R);
		}
		if (trusted) {
			assert_true(m == A || m == V);
		}
		if (m == V) {
			assert_int_equal(p, TLS_PEER_TRUSTED);
		}
		if (m == E) {
			assert_true(p >= TLS_PEER_UNTRUSTED);
		}
	}
	/* And the other way: nothing is asked for that nobody asks for. */
	assert_int_equal(f->mandatory, encrypted);
	assert_int_equal(f->by != TLS_BY_NOBODY, encrypted);
}

static void
test_never_weaker(void **state)
{
	(void)state;
	each(never_weaker);
}

/* ---- as text -------------------------------------------------------- */

static const char *const prints[] = {
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
};

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
assert_same(const struct tls_need *a, const struct tls_need *b)
{
	assert_int_equal(a->option, b->option);
	assert_int_equal(a->untrusted, b->untrusted);
	assert_int_equal(a->strict, b->strict);
	assert_int_equal(a->strong, b->strong);
	assert_int_equal(a->no_dane, b->no_dane);
	assert_int_equal(a->no_mta_sts, b->no_mta_sts);
	assert_int_equal(a->require_tls, b->require_tls);
	assert_int_equal(a->optional, b->optional);
	assert_true(same_text(a->ca_file, b->ca_file));
	assert_true(same_text(a->certificate, b->certificate));
	assert_true(same_text(a->key, b->key));
	assert_int_equal(a->fingerprints_n, b->fingerprints_n);
	for (size_t i = 0; i < a->fingerprints_n && a->fingerprints != NULL;
	     i++) {
		assert_string_equal(a->fingerprints[i], b->fingerprints[i]);
	}
}

static void
there_and_back(const struct tls_need *need, const struct tls_host *host,
               const struct tls_floor *f)
{
	struct arena *a = arena_new(1024);
	struct tls_need odd = *need;
	struct tls_need back;
	struct err e = { 0 };
	const char *fingerprints[] = { prints[0], prints[1] };

	(void)f;
	if (host->dane == TLS_DANE_USABLE) {
		odd.certificate = "/etc/a b%=c\t\xc3\xa4.pem";
		odd.key = "%";
		odd.fingerprints = fingerprints;
		odd.fingerprints_n = 1 + (host->certain ? 1 : 0);
	}
	const char *text = tls_need_format(&odd, a);
	assert_int_equal(tls_need_parse(text, a, &back, &e), 0);
	assert_same(&odd, &back);
	assert_true(same_text(tls_need_format(&back, a), text));
	arena_free(&a);
}

static void
test_text(void **state)
{
	struct arena *a = arena_new(1024);
	struct tls_need need = { 0 };

	(void)state;
	each(there_and_back);
	assert_null(tls_need_format(&need, a));
	need.option = TLS_ENFORCED;
	need.strict = true;
	need.ca_file = "/a b";
	assert_string_equal(tls_need_format(&need, a),
	                    "enforced strict ca=/a%20b");
	arena_free(&a);
}

static void
test_bad_text(void **state)
{
	static const char *const bad[] = {
		"Enforced",  "enforced  strict",
		" enforced", "enforced ",
		"ca=",       "ca=%",
		"ca=%2",     "ca=%zz",
		"ca=%00",    "fingerprint=",
		"sometimes", "enforcedstrict",
		"=x",        "ca",
		"strict\n",
	};

	struct arena *a = arena_new(1024);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tls_need need = { .strong = true };
		struct err e = { 0 };

		if (tls_need_parse(bad[i], a, &need, &e) != -1) {
			fail_msg("\"%s\" was taken", bad[i]);
		}
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(need.strong); /* untouched */
	}
	arena_free(&a);
}

/* ---- of a policy ---------------------------------------------------- */

static void
test_of_policy(void **state)
{
	struct conf_policy p = {
		.option = "secure_smtp_where_possible",
		.encryption_mode = "strict_trust_enforced",
		.ssl_mode = "strong",
		.untrusted = "defer",
		.honour_dane = true,
		.ca_file = "ca",
	};
	struct tls_need need;

	(void)state;
	tls_need_of_policy(&p, &need);
	assert_int_equal(need.option, TLS_OPPORTUNISTIC);
	assert_int_equal(need.untrusted, TLS_UNTRUSTED_DEFER);
	assert_true(need.strict);
	assert_true(need.strong);
	assert_false(need.no_dane);
	assert_true(need.no_mta_sts);
	assert_string_equal(need.ca_file, "ca");

	/* What has no effect makes no difference between needs. */
	p.option = "enforced_tls";
	tls_need_of_policy(&p, &need);
	assert_int_equal(need.option, TLS_ENFORCED);
	assert_int_equal(need.untrusted, TLS_UNTRUSTED_ENCRYPT);
	p.option = "no_tls";
	tls_need_of_policy(&p, &need);
	assert_int_equal(need.option, TLS_NEVER);
	assert_false(need.strict);
	p.option = "secure_smtp_where_possible";
	p.encryption_mode = "relaxed";
	tls_need_of_policy(&p, &need);
	assert_false(need.strict);
	assert_int_equal(need.untrusted, TLS_UNTRUSTED_ENCRYPT);

	tls_need_of_policy(NULL, &need);
	assert_same(&need, &(struct tls_need){ 0 });
}

static void
test_table(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_int_equal(tls_level_print_table(out), 0);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "enforced_tls"));
	assert_null(strstr(text, "(null)"));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_never_weaker),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_bad_text),
		cmocka_unit_test(test_of_policy),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("tls_level", tests, NULL, NULL);
}

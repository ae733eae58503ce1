#ifndef SORTIE_TESTS_UNIT_COMMON_STS_H
#define SORTIE_TESTS_UNIT_COMMON_STS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mailbox.h"
#include "conf/conf.h"
#include "daemon/deliver/sts.h"
#include "daemon/net/https_fetch.h"

/*
 * What the tests of MTA-STS share: a cache on a real store and two reactors'
 * questions, by an injected clock, DNS and fetch. A failure ends the test.
 */

#define DOMAIN  "partner.test"
#define QUERIES 64
#define FETCHES 2000
#define ANSWERS 64
#define RECORDS 4
#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)
#define ENFORCE POLICY("enforce", "mx.partner.test", "604800")
#define RAN(s)  "version: STSv1\n" s
#define POLICY(mode, mx, age)                                                  \
	"version: STSv1\nmode: " mode "\nmx: " mx "\nmax_age: " age "\n"

struct dns_query { /* the resolver's is its own business */
	bool used;
	char name[300];
	enum dns_type type;
	dns_cb on_answer;
	void *arg;
};

struct scene {
	char *dir;
	struct store *store;
	struct sts_cache *cache;
	struct sts *sts;
	struct sts *other; /* another reactor's */
	/* DNS */
	struct dns_query queries[QUERIES];
	enum dns_status txt_status;
	const char *txt[RECORDS];
	const char *addresses; /* one; NULL: NXDOMAIN */
	enum dns_status address_status;
	unsigned txt_asked;
	unsigned address_asked;
	/* HTTPS */
	struct https_fetch *fetches[FETCHES];
	size_t fetches_n;
	size_t fetched; /* all in all */
	/* tasks */
	struct task_list tasks;

	/* what came */
	struct {
		enum mta_sts_mode mode;
		bool policy;
		char mx[256];
		char why[32];
		char text[ERR_TEXT_MAX];
		uint32_t ttl_s;
	} answers[ANSWERS];

	size_t answers_n;
	bool in_find;
	int log_fd;
	int stderr_fd;
};

extern struct scene scene;
extern struct conf scene_conf;
extern _Atomic int64_t scene_offset_ms; /* of both clocks to the real ones */

int scene_setup(void **state); /* cmocka's */
int scene_teardown(void **state);
void scene_start_cache(void);
void scene_stop_cache(void);
void scene_restart(void); /* the store too */

/* What the TXT record of every domain is; NULL: NXDOMAIN. */
void scene_publish(const char *record);
void scene_answer(struct dns_query *q); /* one question to DNS */
void scene_pump(void); /* answers all of them, runs all tasks */
/* The oldest fetch under way ends, with a text or a body. */
void scene_land(enum https_outcome outcome, const char *text);

struct sts_query *scene_begin(struct sts *s, const char *domain, void *arg);
/* One question for DOMAIN, up to its answer or the fetch it waits for. */
void scene_find(void);
/* Publishes, asks, lands the fetch with this policy. */
void scene_found(const char *record, const char *body);
/* The last answer, and no other. */
void scene_expect(enum mta_sts_mode mode, const char *mx, const char *why);

/* Lines of the log with this text; it is empty afterwards. */
unsigned scene_logged(const char *text);
/* Rows in the store, expired ones too, once all is written. */
size_t scene_stored(void);

#endif

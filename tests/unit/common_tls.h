#ifndef SORTIE_TESTS_UNIT_COMMON_TLS_H
#define SORTIE_TESTS_UNIT_COMMON_TLS_H

#include <stdint.h>

#include "daemon/deliver/tls_result.h"
#include "daemon/queue/tls_results.h"
#include "store/store.h"

/*
 * What the tests of TLS results and their reports share: a store in a scratch
 * folder, wall time that only the test moves, results. A failure ends the
 * test.
 */

#define COMMON_TLS_DAY    20780 /* 2026-11-23 */
#define COMMON_TLS_DAY_MS 86400000

extern char *common_tls_dir;
extern struct store *common_tls_store;

/* cmocka's set-up and tear-down: time is a second behind midnight, there is a
 * folder for configurations (common_conf_load.h). */
int common_tls_set_up(void **state);
int common_tls_tear_down(void **state);

void common_tls_set_time(int64_t day, int64_t ms);
int64_t common_tls_mono_ms(void); /* real */

/* From 192.0.2.1 to mx.a.test [192.0.2.9], for the reason "why". */
struct tls_result common_tls_result(const char *domain,
                                    enum tls_failure failure);
/* Flushes, and waits for the store. */
void common_tls_settle(struct tls_results *t);

#endif

#ifndef SORTIE_TESTS_UNIT_COMMON_STORE_H
#define SORTIE_TESTS_UNIT_COMMON_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* What the tests of the store share: a scratch directory, envelopes, and
 * operations that wait for their completion. A failure ends the test. */

/* A fresh directory under $TMPDIR or /tmp; in a tmpfs of this size when
 * tmpfs is not NULL (root only: NULL is returned otherwise). */
char *scratch_new(const char *tmpfs);
void scratch_free(char **dir); /* with all that is in it */

/* Small segments; "DIR/state". */
struct store *scratch_open(const char *dir);
/* The same with other sizes. */
struct store *scratch_open_sized(const char *dir, uint64_t segment,
                                 uint64_t min_free);
/* Expects that it does not open. */
void scratch_refused(const char *dir, enum err_code code, const char *text);

/* Content: len octets that depend on the id. The address of recipient i is
 * "r<i>@partner.test". */
struct envelope *make_envelope(uint64_t id, uint32_t recipients, size_t len);
void fill_content(uint64_t id, char *out, size_t len);
/* Reads the content back, checks every octet. */
void check_content(struct store *s, const struct envelope *env);

void submit_wait(struct store *s, struct store_op *op);
/* Each gives the result; accept drops the caller's reference. */
enum store_result accept_wait(struct store *s, struct envelope *env,
                              bool active);
enum store_result outcome_wait(struct store *s, uint64_t id, uint32_t index,
                               enum recipient_state state, int64_t next_ms,
                               bool whole);
/* The caller unrefs the envelopes: page_free. */
void page_wait(struct store *s, struct store_op *op, int64_t due_ms,
               uint32_t limit);
void page_free(struct store_op *op);

struct store_counts counts_of(struct store *s);
/* Files in DIR/state/SUB. */
unsigned count_files(const char *dir, const char *sub, const char *suffix);
/* Runs SQL on the closed data base. */
void run_sql(const char *dir, const char *sql);
void write_file(const char *dir, const char *path, const void *data,
                size_t len);

#endif

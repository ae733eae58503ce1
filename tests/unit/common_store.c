#include "tests/unit/common_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"

/* Shared by the tests of the store. */

static char *mounted; /* the scratch directory that is a tmpfs */

char *
scratch_new(const char *tmpfs)
{
	const char *base = getenv("TMPDIR");
	char *dir = mem_printf("%s/sortie-store-XXXXXX",
	                       base != NULL ? base : "/tmp");
	char options[64];

	assert_non_null(mkdtemp(dir));
	if (tmpfs == NULL) {
		return dir;
	}
	(void)snprintf(options, sizeof(options), "size=%s", tmpfs);
	if (mount("scratch", dir, "tmpfs", 0, options) == -1) {
		scratch_free(&dir);
		return NULL;
	}
	mounted = dir;
	return dir;
}

static void
run_program(const char *const argv[])
{
	pid_t pid = fork();
	int status;

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		execvp(argv[0], mem_unconst(argv));
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

void
scratch_free(char **dir)
{
	const char *const argv[] = { "rm", "-rf", "--", *dir, NULL };

	if (*dir == mounted && mounted != NULL) {
		(void)umount2(*dir, MNT_DETACH); /* rm finds what is left */
		mounted = NULL;
	}
	run_program(argv);
	free(*dir);
	*dir = NULL;
}

struct store *
scratch_open_sized(const char *dir, uint64_t segment, uint64_t min_free)
{
	char *state = mem_printf("%s/state", dir);
	struct store_options o = { .state_dir = state,
		                   .segment_size = segment,
		                   .min_free = min_free };
	struct store *s = NULL;
	struct err e = { 0 };

	if (store_open(&o, &s, &e) == -1) {
		print_error("%s\n", e.text);
		fail();
	}
	free(state);
	return s;
}

struct store *
scratch_open(const char *dir)
{
	return scratch_open_sized(dir, 64 * 1024, 0);
}

void
scratch_refused(const char *dir, enum err_code code, const char *text)
{
	char *state = mem_printf("%s/state", dir);
	struct store_options o = { .state_dir = state };
	struct store *s = NULL;
	struct err e = { 0 };

	assert_int_equal(store_open(&o, &s, &e), -1);
	assert_null(s);
	if (e.code != code || strstr(e.text, text) == NULL) {
		print_error("code %d, \"%s\" without \"%s\"\n", e.code, e.text,
		            text);
		fail();
	}
	free(state);
}

void
fill_content(uint64_t id, char *out, size_t len)
{
	uint64_t x = id * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (char)(x >> 32);
	}
}

struct envelope *
make_envelope(uint64_t id, uint32_t recipients, size_t len)
{
	struct envelope *env = envelope_new(id);

	env->received_ms = clock_wall_ms();
	env->sender = "sender@example.com";
	env->receipt = "{\"client\":\"192.0.2.1\"}";
	env->flags = ENVELOPE_8BITMIME;
	env->recipients_total = recipients;
	envelope_set_recipients(env, recipients);
	for (uint32_t i = 0; i < recipients; i++) {
		struct recipient *r = &env->recipients[i];

		r->index = i;
		r->address = arena_printf(env->arena, "r%u@partner.test", i);
		r->domain = "partner.test";
		r->direction = DIRECTION_OUTBOUND;
		r->state = RECIPIENT_QUEUED;
	}
	env->hot = mem_alloc(len + 1);
	env->hot_len = len;
	fill_content(id, env->hot, len);
	return env;
}

void
check_content(struct store *s, const struct envelope *env)
{
	size_t len = (size_t)env->content.len;
	char *want = mem_alloc(len + 1);
	char *got = mem_alloc(len + 1);
	struct err e = { 0 };

	fill_content(env->id, want, len);
	if (store_read_content(s, env->id, &env->content, 0, got, len, &e) ==
	    -1) {
		print_error("%s\n", e.text);
		fail();
	}
	assert_memory_equal(got, want, len);
	free(want);
	free(got);
}

static void
on_done(struct store_op *op)
{
	sem_post(op->owner);
}

void
submit_wait(struct store *s, struct store_op *op)
{
	sem_t sem;

	sem_init(&sem, 0, 0);
	op->owner = &sem;
	op->done = on_done;
	store_submit(s, op);
	while (sem_wait(&sem) == -1) {
		continue;
	}
	sem_destroy(&sem);
}

enum store_result
accept_wait(struct store *s, struct envelope *env, bool active)
{
	struct store_op op = { .kind = STORE_ACCEPT,
		               .env = env,
		               .active = active };

	submit_wait(s, &op);
	envelope_unref(&env);
	return op.result;
}

enum store_result
outcome_wait(struct store *s, uint64_t id, uint32_t index,
             enum recipient_state state, int64_t next_ms, bool whole)
{
	struct store_fate fate = { .index = index,
		                   .state = (uint8_t)state,
		                   .attempts = 1,
		                   .next_attempt_ms = next_ms,
		                   .reply = "451 later" };
	struct store_op op = { .kind = STORE_OUTCOME,
		               .id = id,
		               .fates = &fate,
		               .fates_n = 1,
		               .whole = whole };

	submit_wait(s, &op);
	return op.result;
}

void
page_wait(struct store *s, struct store_op *op, int64_t due_ms, uint32_t limit)
{
	memset(op, 0, sizeof(*op));
	op->kind = STORE_PAGE;
	op->due_ms = due_ms;
	op->limit = limit;
	submit_wait(s, op);
	assert_int_equal(op->result, STORE_OK);
}

void
page_free(struct store_op *op)
{
	for (size_t i = 0; i < op->page_n; i++) {
		envelope_unref(&op->page[i]);
	}
	free(op->page);
	op->page = NULL;
}

struct store_counts
counts_of(struct store *s)
{
	struct store_reader *r = NULL;
	struct store_counts c;
	struct err e = { 0 };

	assert_int_equal(store_reader_open(s, &r, &e), 0);
	assert_int_equal(store_reader_counts(r, &c, &e), 0);
	store_reader_close(&r);
	return c;
}

unsigned
count_files(const char *dir, const char *sub, const char *suffix)
{
	char *path = mem_printf("%s/state/%s", dir, sub);
	struct dirent *entry;
	unsigned n = 0;
	DIR *d = opendir(path);

	while (d != NULL && (entry = readdir(d)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (entry->d_name[0] != '.' && len >= strlen(suffix) &&
		    strcmp(entry->d_name + len - strlen(suffix), suffix) == 0) {
			n++;
		}
	}
	if (d != NULL) {
		closedir(d);
	}
	free(path);
	return n;
}

void
run_sql(const char *dir, const char *sql)
{
	char *path = mem_printf("%s/state/queue.db", dir);
	char *text = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK) {
		print_error("%s: %s\n", sql, text);
		fail();
	}
	sqlite3_close(db);
	free(path);
}

void
write_file(const char *dir, const char *path, const void *data, size_t len)
{
	char *full = mem_printf("%s/state/%s", dir, path);
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
	free(full);
}

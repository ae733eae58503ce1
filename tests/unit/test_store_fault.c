#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "tests/unit/common_store.h"

/*
 * Full disks and failing syncs (checklist A3.5, A3.6, A3.7). The system calls
 * of this program, SQLite's among them, go through the functions below, which
 * fail on demand for files whose name holds a given text.
 */

enum fault {
	NO_FAULT = 0,
	SYNC_EIO,  /* the next sync, once */
	WRITE_EIO, /* every write */
	WRITE_ENOSPC,
};

static _Atomic(enum fault) fault;
static const char *_Atomic fault_file;
static atomic_uint hits;
static atomic_uint resyncs; /* of a file after its sync failed */
static _Atomic(ino_t) failed_inode;

static bool
concerned(int fd)
{
	const char *file = atomic_load(&fault_file);
	char link[64];
	char path[512];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n == -1 || file == NULL) {
		return false;
	}
	path[n] = '\0';
	return strstr(path, file) != NULL;
}

int
fdatasync(int fildes)
{
	enum fault wanted = SYNC_EIO;
	struct stat st = { 0 };

	fstat(fildes, &st);
	if (atomic_load(&fault) == SYNC_EIO && concerned(fildes) &&
	    atomic_compare_exchange_strong(&fault, &wanted, NO_FAULT)) {
		atomic_store(&failed_inode, st.st_ino);
		atomic_fetch_add(&hits, 1);
		errno = EIO;
		return -1;
	}
	if (st.st_ino != 0 && st.st_ino == atomic_load(&failed_inode)) {
		atomic_fetch_add(&resyncs, 1);
	}
	return (int)syscall(SYS_fdatasync, fildes);
}

static bool
write_fails(int fd)
{
	enum fault f = atomic_load(&fault);

	if ((f != WRITE_EIO && f != WRITE_ENOSPC) || !concerned(fd)) {
		return false;
	}
	atomic_fetch_add(&hits, 1);
	errno = f == WRITE_EIO ? EIO : ENOSPC;
	return true;
}

ssize_t
pwritev(int fd, const struct iovec *iovec, int count, off_t offset)
{
	if (write_fails(fd)) {
		return -1;
	}
	return syscall(SYS_pwritev, fd, iovec, count, offset, 0);
}

ssize_t
pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	if (write_fails(fd)) {
		return -1;
	}
	return syscall(SYS_pwrite64, fd, buf, n, offset);
}

ssize_t
pwrite64(int fd, const void *buf, size_t n, off_t offset)
{
	return pwrite(fd, buf, n, offset);
}

static void
inject(enum fault f, const char *file)
{
	atomic_store(&hits, 0);
	atomic_store(&resyncs, 0);
	atomic_store(&failed_inode, 0);
	atomic_store(&fault_file, file);
	atomic_store(&fault, f);
}

static int
setup(void **state)
{
	inject(NO_FAULT, NULL);
	*state = scratch_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	char *dir = *state;

	inject(NO_FAULT, NULL);
	scratch_free(&dir);
	return 0;
}

static void
wait_healthy(struct store *s)
{
	for (int i = 0; i < 100 && !store_healthy(s); i++) {
		usleep(50000);
	}
	assert_true(store_healthy(s));
}

static void
expect_why(struct store *s, const char *text)
{
	struct store_stats stats;

	store_stats(s, &stats);
	assert_false(stats.healthy);
	if (strstr(stats.why, text) == NULL) {
		print_error("\"%s\" without \"%s\"\n", stats.why, text);
		fail();
	}
}

static enum store_result
accept_new(struct store *s, uint64_t *id_r)
{
	*id_r = id_new();
	return accept_wait(s, make_envelope(*id_r, 1, 500), false);
}

/* Exactly these are in the queue, and readable. */
static void
expect_queue(struct store *s, const uint64_t *ids, size_t n)
{
	struct store_op op;

	page_wait(s, &op, INT64_MAX, 100);
	assert_int_equal(op.page_n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(op.page[i]->id, ids[i]);
		check_content(s, op.page[i]);
	}
	page_free(&op);
}

/* A3.7: no acceptance after a failed sync until there are new files, and no
 * second sync of that file. */
static void
test_content_sync_fails(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t ids[2];
	uint64_t lost;
	int64_t start;

	assert_int_equal(accept_new(s, &ids[0]), STORE_OK);
	inject(SYNC_EIO, "content/");
	assert_int_equal(accept_new(s, &lost), STORE_FAILED);
	assert_int_equal(atomic_load(&hits), 1);
	expect_why(s, "sync content/");
	start = clock_mono_ms();
	assert_int_equal(accept_new(s, &lost), STORE_FAILED);
	assert_true(clock_mono_ms() - start < 1000); /* at once */
	wait_healthy(s);
	assert_int_equal(accept_new(s, &ids[1]), STORE_OK);
	assert_int_equal(atomic_load(&resyncs), 0);
	store_close(&s);

	s = scratch_open(*state);
	expect_queue(s, ids, 2);
	store_close(&s);
}

/* The commit's own sync fails: nobody is told that it worked, an outcome is
 * made durable later. */
static void
test_commit_sync_fails(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t ids[2];
	uint64_t lost;

	assert_int_equal(accept_new(s, &ids[0]), STORE_OK);
	assert_int_equal(accept_new(s, &ids[1]), STORE_OK);
	inject(SYNC_EIO, "queue.db-wal");
	assert_int_equal(accept_new(s, &lost), STORE_FAILED);
	expect_why(s, "queue.db");
	assert_false(store_healthy(s));
	wait_healthy(s);

	inject(SYNC_EIO, "queue.db-wal");
	assert_int_equal(
		outcome_wait(s, ids[1], 0, RECIPIENT_DELIVERED, 0, true),
		STORE_OK);
	assert_int_equal(atomic_load(&hits), 1);
	wait_healthy(s);
	assert_int_equal(accept_new(s, &ids[1]), STORE_OK);
	store_close(&s);

	s = scratch_open(*state);
	expect_queue(s, ids, 2);
	store_close(&s);
}

/* A failed write of rows: as a failed sync, and outcomes wait. */
static void
test_commit_write_fails(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t ids[1];
	uint64_t lost;

	assert_int_equal(accept_new(s, &ids[0]), STORE_OK);
	inject(WRITE_EIO, "queue.db-wal");
	assert_int_equal(accept_new(s, &lost), STORE_FAILED);
	inject(NO_FAULT, NULL);
	wait_healthy(s);
	expect_queue(s, ids, 1);
	store_close(&s);
}

/* A3.5: no space for content; what needs none goes on. */
static void
test_content_full(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t ids[2];
	uint64_t refused;

	assert_int_equal(accept_new(s, &ids[0]), STORE_OK);
	assert_int_equal(accept_new(s, &ids[1]), STORE_OK);
	inject(WRITE_ENOSPC, "content/");
	assert_int_equal(accept_new(s, &refused), STORE_FULL);
	expect_why(s, "No space left");
	assert_int_equal(accept_new(s, &refused), STORE_FULL);
	assert_int_equal(
		outcome_wait(s, ids[1], 0, RECIPIENT_DELIVERED, 0, true),
		STORE_OK);
	assert_false(store_healthy(s));
	inject(NO_FAULT, NULL);
	wait_healthy(s);
	assert_int_equal(accept_new(s, &ids[1]), STORE_OK);
	expect_queue(s, ids, 2);
	store_close(&s);
}

struct pending {
	struct store_fate fate;
	struct store_op op;
	atomic_int done;
};

static void
on_done(struct store_op *op)
{
	struct pending *p = op->owner;

	atomic_store(&p->done, 1);
}

/* A3.6: outcomes are kept without a storm of attempts, and durable once there
 * is space. */
static void
test_rows_full(void **state)
{
	struct store *s = scratch_open(*state);
	struct pending p = { .fate = { .state = RECIPIENT_DELIVERED } };
	uint64_t ids[2];
	uint64_t refused;

	assert_int_equal(accept_new(s, &ids[0]), STORE_OK);
	assert_int_equal(accept_new(s, &ids[1]), STORE_OK);
	inject(WRITE_ENOSPC, "queue.db-wal");
	p.op.kind = STORE_OUTCOME;
	p.op.id = ids[1];
	p.op.fates = &p.fate;
	p.op.fates_n = 1;
	p.op.whole = true;
	p.op.done = on_done;
	p.op.owner = &p;
	store_submit(s, &p.op);
	while (store_healthy(s)) {
		usleep(1000);
	}
	assert_int_equal(accept_new(s, &refused), STORE_FULL);
	usleep(3000000);
	assert_int_equal(atomic_load(&p.done), 0);
	assert_in_range(atomic_load(&hits), 1, 4);
	inject(NO_FAULT, NULL);
	wait_healthy(s);
	assert_int_equal(atomic_load(&p.done), 1);
	assert_int_equal(p.op.result, STORE_OK);
	expect_queue(s, ids, 1);
	store_close(&s);
}

/* Close while nothing can be written: the truth is told. */
static void
test_close_while_broken(void **state)
{
	struct store *s = scratch_open(*state);
	struct pending p = { .fate = { .state = RECIPIENT_DELIVERED } };
	uint64_t id;

	assert_int_equal(accept_new(s, &id), STORE_OK);
	inject(WRITE_EIO, "queue.db");
	p.op.kind = STORE_OUTCOME;
	p.op.id = id;
	p.op.fates = &p.fate;
	p.op.fates_n = 1;
	p.op.whole = true;
	p.op.done = on_done;
	p.op.owner = &p;
	store_submit(s, &p.op);
	store_close(&s);
	assert_int_equal(atomic_load(&p.done), 1);
	assert_int_equal(p.op.result, STORE_FAILED);
	inject(NO_FAULT, NULL);
	s = scratch_open(*state);
	expect_queue(s, &id, 1);
	store_close(&s);
}

static void
test_min_free(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id;
	uint64_t refused;

	assert_int_equal(accept_new(s, &id), STORE_OK);
	store_close(&s);
	s = scratch_open_sized(*state, 65536, UINT64_MAX / 4);
	assert_int_equal(accept_new(s, &refused), STORE_FULL);
	expect_why(s, "free");
	assert_int_equal(outcome_wait(s, id, 0, RECIPIENT_DELIVERED, 0, true),
	                 STORE_OK);
	store_close(&s);
}

/* A stream whose sync fails takes no message with it but its own. */
static void
test_stream_sync_fails(void **state)
{
	struct store *s = scratch_open(*state);
	struct store_stream *st = NULL;
	struct content_ref ref = { 0 };
	struct err e = { 0 };
	uint64_t id;

	assert_int_equal(store_stream_open(s, id_new(), &st, &e), 0);
	assert_int_equal(store_stream_append(st, "mail", 4, &e), 0);
	inject(SYNC_EIO, "content/");
	assert_int_equal(store_stream_finish(&st, &ref, &e), -1);
	assert_null(st);
	assert_int_equal(ref.segment, 0);
	for (int i = 0; i < 100 && store_healthy(s); i++) {
		usleep(10000);
	}
	assert_false(store_healthy(s));
	assert_int_equal(store_stream_open(s, id_new(), &st, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	wait_healthy(s);
	assert_int_equal(accept_new(s, &id), STORE_OK);
	store_close(&s);
}

/* A real file system that is full; needs a mount. */
static void
test_full_file_system(void **state)
{
	static char block[1 << 20];
	struct store *s;
	char *dir;
	char *filler;
	uint64_t ids[1];
	uint64_t refused = 0;
	enum store_result r = STORE_OK;
	int fd;

	(void)state;
	dir = geteuid() == 0 ? scratch_new("12m") : NULL;
	if (dir == NULL) {
		skip();
	}
	filler = mem_printf("%s/filler", dir);
	s = scratch_open(dir);
	assert_int_equal(accept_new(s, &ids[0]), STORE_OK);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, block, sizeof(block)) > 0) {
		continue;
	}
	while (write(fd, block, 4096) > 0) {
		continue;
	}
	close(fd);
	for (int i = 0; i < 1000 && r == STORE_OK; i++) {
		refused = id_new();
		r = accept_wait(s, make_envelope(refused, 1, 3000), true);
		if (r == STORE_OK) {
			outcome_wait(s, refused, 0, RECIPIENT_DELIVERED, 0,
			             true);
		}
	}
	assert_int_equal(r, STORE_FULL);
	unlink(filler);
	wait_healthy(s);
	assert_int_equal(accept_wait(s, make_envelope(id_new(), 1, 3000), true),
	                 STORE_OK);
	assert_int_equal(counts_of(s).messages, 2);
	expect_queue(s, ids, 1);
	store_close(&s);
	free(filler);
	scratch_free(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_content_sync_fails, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_commit_sync_fails, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_commit_write_fails, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_content_full, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_rows_full, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_close_while_broken, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_min_free, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_sync_fails, setup,
		                                teardown),
		cmocka_unit_test(test_full_file_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

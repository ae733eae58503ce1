#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/content.h"
#include "store/crc32c.h"
#include "tests/unit/common_store.h"

/* The content log alone: records, segments, checks on reading. */

struct fixture {
	char *dir;
	int fd;
	struct content *c;
};

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));
	struct err e;

	f->dir = scratch_new(NULL);
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(content_open(f->fd, 10000, &f->c, &e), 0);
	assert_int_equal(content_roll(f->c, &e), 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	content_close(&f->c);
	close(f->fd);
	scratch_free(&f->dir);
	free(f);
	return 0;
}

/* RFC 3720 appendix B.4 and the check value of the catalogue. */
static void
test_crc_vectors(void **state)
{
	unsigned char bytes[32];

	(void)state;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aau);
	assert_int_equal(crc32c_table(0, bytes, 32), 0x8a9136aau);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43u);
	for (unsigned i = 0; i < 32; i++) {
		bytes[i] = (unsigned char)i;
	}
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794eu);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void
test_crc_agrees(void **state)
{
	char data[300];

	(void)state;
	fill_content(7, data, sizeof(data));
	for (size_t start = 0; start < 9; start++) {
		for (size_t len = 0; start + len <= sizeof(data); len++) {
			uint32_t whole = crc32c_table(0, data + start, len);
			size_t half = len / 2;
			uint32_t parts = crc32c(0, data + start, half);

			parts = crc32c(parts, data + start + half, len - half);
			assert_int_equal(crc32c(0, data + start, len), whole);
			assert_int_equal(parts, whole);
		}
	}
}

static struct content_ref
append_one(struct content *c, uint64_t id, size_t len)
{
	char *data = mem_alloc(len + 1);
	struct content_ref ref = { 0 };
	struct content_record r = { id, data, len, &ref };
	struct err e;

	fill_content(id, data, len);
	assert_int_equal(content_append(c, &r, 1, &e), 0);
	assert_int_equal(content_sync(c, &e), 0);
	free(data);
	return ref;
}

static void
read_back(struct content *c, uint64_t id, const struct content_ref *ref)
{
	size_t len = (size_t)ref->len;
	char *want = mem_alloc(len + 1);
	char *got = mem_alloc(len + 1);
	struct err e;

	fill_content(id, want, len);
	assert_int_equal(content_read(c, id, ref, 0, got, len, &e), 0);
	assert_memory_equal(got, want, len);
	free(want);
	free(got);
}

/* More records than one system call takes, some of them empty. */
static void
test_many_records(void **state)
{
	enum {
		N = 1300
	};
	static struct content_record records[N];
	static struct content_ref refs[N];
	struct fixture *f = *state;
	char data[50];
	struct err e;

	fill_content(3, data, sizeof(data));
	for (size_t i = 0; i < N; i++) {
		records[i] = (struct content_record){ 1000 + i, data, i % 50,
			                              &refs[i] };
	}
	assert_int_equal(content_append(f->c, records, N, &e), 0);
	assert_int_equal(content_sync(f->c, &e), 0);
	for (size_t i = 0; i < N; i++) {
		char got[50];

		assert_int_equal(refs[i].len, i % 50);
		assert_int_equal(content_read(f->c, 1000 + i, &refs[i], 0, got,
		                              i % 50, &e),
		                 0);
		assert_memory_equal(got, data, i % 50);
	}
}

/* A row that points to the wrong place never yields somebody else's mail. */
static void
test_wrong_refs(void **state)
{
	static const struct {
		int64_t segment;
		int64_t offset;
		int64_t len;
		uint64_t id;
		enum err_code code;
	} rows[] = {
		{ 0, 0, 0, 8, ERR_CORRUPT },   /* another id */
		{ 0, 1, 0, 7, ERR_CORRUPT },   /* not a record's start */
		{ 0, -32, 0, 7, ERR_CORRUPT }, /* before the first */
		{ 0, 0, -1, 7, ERR_CORRUPT },  /* another length */
		{ 0, 0, 1, 7, ERR_CORRUPT },
		{ 0, 1 << 20, 0, 7, ERR_CORRUPT }, /* behind the end */
		{ 1, 0, 0, 7, ERR_CORRUPT },       /* no such file */
		{ -1, 0, 0, 7, ERR_CORRUPT },      /* nowhere */
	};
	struct fixture *f = *state;
	struct content_ref ref = append_one(f->c, 7, 500);

	read_back(f->c, 7, &ref);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct content_ref bad = ref;
		char out[600];
		struct err e = { 0 };

		bad.segment += (uint64_t)rows[i].segment;
		bad.offset += (uint64_t)rows[i].offset;
		bad.len += (uint64_t)rows[i].len;
		assert_int_equal(content_read(f->c, rows[i].id, &bad, 0, out,
		                              (size_t)bad.len, &e),
		                 -1);
		assert_int_equal(e.code, rows[i].code);
	}
}

static void
test_damage_is_seen(void **state)
{
	struct fixture *f = *state;
	struct content_ref ref = append_one(f->c, 7, 500);
	struct content_cursor at = { 0 };
	char out[500];
	struct err e = { 0 };
	int dir = openat(f->fd, "content", O_RDONLY | O_DIRECTORY);
	int fd = openat(dir, "0000000000000001.log", O_RDWR);
	char octet;

	assert_int_equal(pread(fd, &octet, 1, (off_t)ref.offset + 250), 1);
	octet = (char)(octet ^ 4);
	assert_int_equal(pwrite(fd, &octet, 1, (off_t)ref.offset + 250), 1);
	close(fd);
	close(dir);
	assert_int_equal(content_read(f->c, 7, &ref, 0, out, 500, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "checksum"));

	/* In pieces it shows with the last one. */
	assert_int_equal(content_read_next(f->c, 7, &ref, &at, out, 300, &e),
	                 0);
	e.text[0] = '\0';
	assert_int_equal(content_read_next(f->c, 7, &ref, &at, out, 200, &e),
	                 -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_non_null(strstr(e.text, "checksum"));
	ref = append_one(f->c, 8, 500);
	at = (struct content_cursor){ 0 };
	assert_int_equal(content_read_next(f->c, 8, &ref, &at, out, 300, &e),
	                 0);
	assert_int_equal(content_read_next(f->c, 8, &ref, &at, out, 200, &e),
	                 0);
}

/* Files are written over: old refs must not read what is there now. */
static void
test_reuse(void **state)
{
	struct fixture *f = *state;
	struct content_ref old = append_one(f->c, 7, 12000);
	struct content_ref fresh;
	char out[12000];
	struct err e = { 0 };

	content_add_live(f->c, &old, 7);
	assert_true(content_full(f->c));
	assert_int_equal(content_roll(f->c, &e), 0);
	assert_int_equal(content_drop_live(f->c, &old), old.segment);
	content_retire(f->c, old.segment);

	assert_int_equal(content_roll(f->c, &e), 0);
	fresh = append_one(f->c, 9, 500);
	assert_true(fresh.segment > old.segment);
	read_back(f->c, 9, &fresh);
	assert_int_equal(content_read(f->c, 7, &old, 0, out, 12000, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	/* The old record is still in the file, behind the new one, but not at
	 * a place where a row of the new segment could find it. */
	old.segment = fresh.segment;
	assert_int_equal(content_read(f->c, 7, &old, 0, out, 12000, &e), -1);
}

static void
test_alive(void **state)
{
	struct fixture *f = *state;
	struct content_ref a = append_one(f->c, 7, 100);
	struct content_ref b = append_one(f->c, 8, 9900);
	struct content_claim claim;
	int64_t wait_ms;
	struct err e;

	content_add_live(f->c, &a, 7);
	content_add_live(f->c, &b, 8);
	assert_int_equal(content_roll(f->c, &e), 0);
	assert_false(content_sparse(f->c, 0, &claim, &wait_ms));
	assert_int_equal(content_drop_live(f->c, &b), 0);
	assert_true(content_sparse(f->c, 0, &claim, &wait_ms));
	assert_int_equal(claim.number, a.segment);
	assert_int_equal(claim.live_n, 1);
	assert_int_equal(claim.live_bytes, 100);
	content_postpone(f->c, a.segment, 70);
	assert_false(content_sparse(f->c, 20, &claim, &wait_ms));
	assert_int_equal(wait_ms, 50);
	assert_int_equal(content_drop_live(f->c, &a), a.segment);
	assert_int_equal(content_segments(f->c), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc_vectors),
		cmocka_unit_test(test_crc_agrees),
		cmocka_unit_test_setup_teardown(test_many_records, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_wrong_refs, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_seen, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alive, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

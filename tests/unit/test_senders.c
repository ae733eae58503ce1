/*
 * Managed senders in the store: what deliveries teach, caps and times under an
 * injected clock, what people do, precedence, listing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/mem.h"
#include "store/index.h"
#include "store/senders.h"
#include "tests/unit/common_store.h"

#define INSIDE "ann@example.com"
#define DAY    INT64_C(86400000)
#define NOW    INT64_C(1795478400000)
#define MANY   300

static int
setup(void **state)
{
	*state = scratch_new(NULL);
	return 0;
}

static int
teardown(void **state)
{
	char *dir = *state;

	scratch_free(&dir);
	return 0;
}

static uint64_t
accept_new(struct store *s, uint32_t recipients)
{
	struct envelope *env = make_envelope(id_new(), recipients, 100);
	uint64_t id = env->id;

	assert_int_equal(accept_wait(s, env, true), STORE_OK);
	return id;
}

static struct sender_lesson
lesson(const char **outside, size_t n, int64_t now_ms)
{
	return (struct sender_lesson){ .inside = INSIDE,
		                       .outside = outside,
		                       .n = n,
		                       .now_ms = now_ms,
		                       .expire_ms = 120 * DAY,
		                       .per_message = 100,
		                       .per_sender = 1000,
		                       .window_ms = DAY };
}

/* The outcome of recipient index of message id teaches the lesson. */
static void
teach(struct store *s, uint64_t id, uint32_t index,
      const struct sender_lesson *l)
{
	struct store_fate f = { .index = index, .state = RECIPIENT_DELIVERED };
	struct store_op op = { .kind = STORE_OUTCOME,
		               .id = id,
		               .fates = &f,
		               .fates_n = 1,
		               .lesson = l };

	submit_wait(s, &op);
	assert_int_equal(op.result, STORE_OK);
}

static void
teach_one(struct store *s, const char *outside, int64_t now_ms)
{
	struct sender_lesson l = lesson(&outside, 1, now_ms);

	teach(s, accept_new(s, 1), 0, &l);
}

static void
put(struct store *s, const char *outside, enum sender_type type,
    int64_t expires_ms)
{
	struct sender_entry entry = { .inside = INSIDE,
		                      .outside = outside,
		                      .type = type,
		                      .made_ms = NOW,
		                      .used_ms = NOW,
		                      .expires_ms = expires_ms };
	struct senders_change c;

	senders_change_init(&c);
	c.entries = &entry;
	c.n = 1;
	submit_wait(s, &c.op);
	assert_int_equal(c.op.result, STORE_OK);
	assert_int_equal(c.changed, 1);
}

static enum sender_type
find(struct store *s, const char *outside, int64_t now_ms)
{
	enum sender_type type = SENDER_NONE;
	struct senders_reader *r = NULL;
	struct err e = { 0 };

	assert_int_equal(senders_open(s, &r, &e), 0);
	assert_int_equal(senders_find(r, INSIDE, outside, now_ms, &type, &e),
	                 0);
	senders_close(&r);
	return type;
}

/* ---- listing ---------------------------------------------------------- */

struct listed {
	size_t n;
	struct sender_entry last;
	char text[2 * SENDER_KEY_MAX * 40]; /* "inside outside\n" each */
};

static void
on_entry(void *arg, const struct sender_entry *entry)
{
	struct listed *l = arg;
	size_t at = strlen(l->text);

	l->n++;
	l->last = *entry;
	l->last.inside = NULL; /* not valid any more */
	l->last.outside = NULL;
	(void)snprintf(l->text + at, sizeof(l->text) - at, "%s %s\n",
	               entry->inside, entry->outside);
}

static struct listed
list(struct store *s, struct senders_filter f)
{
	struct listed l = { 0 };
	struct senders_reader *r = NULL;
	struct senders_page page = { .more = true };
	struct err e = { 0 };

	f.limit = 1000;
	f.now_ms = f.now_ms != 0 ? f.now_ms : NOW;
	assert_int_equal(senders_open(s, &r, &e), 0);
	assert_int_equal(senders_list(r, &f, on_entry, &l, &page, &e), 0);
	assert_false(page.more);
	senders_close(&r);
	return l;
}

static struct sender_entry
entry_of(struct store *s, const char *outside, int64_t now_ms)
{
	struct senders_filter f = { .outside = outside, .now_ms = now_ms };
	struct listed l = list(s, f);

	assert_int_equal(l.n, 1);
	return l.last;
}

/* ---- learning --------------------------------------------------------- */

static void
test_learned_and_renewed(void **state)
{
	struct store *s = scratch_open(*state);
	struct sender_entry e;

	teach_one(s, "bob@partner.test", NOW);
	e = entry_of(s, "bob@partner.test", NOW);
	assert_int_equal(e.type, SENDER_AUTO);
	assert_true(e.made_ms == NOW && e.used_ms == NOW);
	assert_true(e.expires_ms == NOW + 120 * DAY);

	teach_one(s, "bob@partner.test", NOW + 50 * DAY);
	e = entry_of(s, "bob@partner.test", NOW);
	assert_true(e.made_ms == NOW && e.used_ms == NOW + 50 * DAY);
	assert_true(e.expires_ms == NOW + 170 * DAY);

	/* Its time is over at the very moment; mail later makes it anew. */
	assert_int_equal(find(s, "bob@partner.test", NOW + 170 * DAY - 1),
	                 SENDER_AUTO);
	assert_int_equal(find(s, "bob@partner.test", NOW + 170 * DAY),
	                 SENDER_NONE);
	teach_one(s, "bob@partner.test", NOW + 170 * DAY);
	e = entry_of(s, "bob@partner.test", NOW + 170 * DAY);
	assert_true(e.made_ms == NOW + 170 * DAY);

	store_close(&s);
	s = scratch_open(*state);
	assert_int_equal(find(s, "bob@partner.test", NOW + 171 * DAY),
	                 SENDER_AUTO);
	assert_int_equal(find(s, "bobby@partner.test", NOW), SENDER_NONE);
	store_close(&s);
}

static void
test_people_stay(void **state)
{
	struct store *s = scratch_open(*state);

	put(s, "p@partner.test", SENDER_PERMIT, 0);
	put(s, "b@partner.test", SENDER_BLOCK, 0);
	put(s, "d@partner.test", SENDER_DISABLED, NOW + DAY);
	teach_one(s, "p@partner.test", NOW + 1);
	teach_one(s, "b@partner.test", NOW + 1);
	teach_one(s, "d@partner.test", NOW + 1);
	assert_int_equal(find(s, "p@partner.test", NOW + 2), SENDER_PERMIT);
	assert_int_equal(find(s, "b@partner.test", NOW + 2), SENDER_BLOCK);
	assert_int_equal(find(s, "d@partner.test", NOW + 2), SENDER_AUTO);
	assert_true(entry_of(s, "p@partner.test", NOW).used_ms == NOW);
	assert_true(entry_of(s, "d@partner.test", NOW).made_ms == NOW);
	assert_true(entry_of(s, "d@partner.test", NOW).expires_ms ==
	            NOW + 1 + 120 * DAY);
	store_close(&s);
}

static size_t
count(struct store *s, int64_t now_ms)
{
	struct senders_filter f = { .now_ms = now_ms };

	return list(s, f).n;
}

static void
test_cap_of_a_message(void **state)
{
	const char *first[] = { "a@p.test", "b@p.test", "a@p.test" };
	const char *second[] = { "c@p.test", "d@p.test", "a@p.test" };
	struct store *s = scratch_open(*state);
	struct sender_lesson l = lesson(first, 3, NOW);
	uint64_t id = accept_new(s, 3);

	/* Three new ones of a message, however many outcomes it takes. */
	l.per_message = 3;
	teach(s, id, 0, &l);
	assert_int_equal(count(s, NOW), 2);
	l.outside = second;
	l.now_ms = NOW + 5;
	teach(s, id, 1, &l);
	assert_int_equal(count(s, NOW), 3);
	assert_int_equal(find(s, "d@p.test", NOW), SENDER_NONE);
	/* Renewals need no room. */
	assert_true(entry_of(s, "a@p.test", NOW).used_ms == NOW + 5);
	/* Another message has its own. */
	teach(s, accept_new(s, 1), 0, &l);
	assert_int_equal(find(s, "d@p.test", NOW), SENDER_AUTO);
	store_close(&s);
}

static void
test_cap_of_a_sender(void **state)
{
	const char *more[] = { "x@p.test" };
	struct store *s = scratch_open(*state);
	struct sender_lesson l;
	char text[32];

	for (int i = 0; i < 3; i++) {
		const char *one = text;

		(void)snprintf(text, sizeof(text), "r%d@p.test", i);
		l = lesson(&one, 1, NOW + i);
		l.per_sender = 3;
		teach(s, accept_new(s, 1), 0, &l);
	}
	l = lesson(more, 1, NOW + 10);
	l.per_sender = 3;
	teach(s, accept_new(s, 1), 0, &l);
	assert_int_equal(count(s, NOW), 3);
	/* Others are not concerned. */
	l.inside = "carl@example.com";
	teach(s, accept_new(s, 1), 0, &l);
	assert_int_equal(count(s, NOW), 4);
	/* A restart gives no more... */
	store_close(&s);
	s = scratch_open(*state);
	l.inside = INSIDE;
	teach(s, accept_new(s, 1), 0, &l);
	assert_int_equal(count(s, NOW), 4);
	/* ...until the window is over, which began with the first. */
	l.now_ms = NOW + DAY - 1;
	teach(s, accept_new(s, 1), 0, &l);
	assert_int_equal(count(s, NOW), 4);
	l.now_ms = NOW + DAY;
	teach(s, accept_new(s, 1), 0, &l);
	assert_int_equal(count(s, NOW), 5);
	store_close(&s);
}

static int
write_badly(struct index *ix, struct store_op *op)
{
	(void)ix; /* nothing is written */
	(void)op;
	return INDEX_DUPLICATE; /* the batch is undone and tried without */
}

static void
on_bad(struct store_op *op)
{
	(void)op; /* only the other one is waited for */
}

/* A batch that is undone and done again teaches once. */
static void
test_undone(void **state)
{
	const char *first[] = { "a@p.test", "b@p.test" };
	const char *second[] = { "c@p.test", "d@p.test" };
	struct store *s = scratch_open(*state);
	struct sender_lesson l = lesson(first, 2, NOW);
	uint64_t id = accept_new(s, 3);
	struct store_fate f = { .state = RECIPIENT_DELIVERED };
	struct store_op bad[20];
	struct store_op op = { .kind = STORE_OUTCOME,
		               .id = id,
		               .fates = &f,
		               .fates_n = 1,
		               .lesson = &l };
	struct task_list both;

	l.per_message = 3;
	l.per_sender = 3;
	task_list_init(&both);
	for (size_t i = 0; i < 20; i++) {
		bad[i] = (struct store_op){ .kind = STORE_NOTE,
			                    .write = write_badly,
			                    .done = on_bad };
	}
	/* The outcome first, so that it is written before each failure. */
	op.done = on_bad;
	task_list_add(&both, &op.task);
	for (size_t i = 0; i < 20; i++) {
		task_list_add(&both, &bad[i].task);
	}
	store_submit_list(s, &both);
	(void)accept_new(s, 1); /* behind all of them */
	assert_int_equal(op.result, STORE_OK);
	assert_int_equal(bad[19].result, STORE_FAILED);
	assert_int_equal(count(s, NOW), 2);
	/* One of three is left. */
	l.outside = second;
	teach(s, id, 1, &l);
	assert_int_equal(count(s, NOW), 3);
	store_close(&s);
}

/* Nothing is learned of an outcome that teaches nothing. */
static void
test_nothing_taught(void **state)
{
	struct store *s = scratch_open(*state);
	uint64_t id = accept_new(s, 1);

	assert_int_equal(outcome_wait(s, id, 0, RECIPIENT_DELIVERED, 0, true),
	                 STORE_OK);
	assert_int_equal(count(s, NOW), 0);
	store_close(&s);
}

/* ---- looking ---------------------------------------------------------- */

static void
test_precedence(void **state)
{
	struct store *s = scratch_open(*state);

	put(s, "@d.test", SENDER_PERMIT, 0);
	put(s, "b@d.test", SENDER_BLOCK, 0);
	put(s, "a@d.test", SENDER_AUTO, NOW + DAY);
	assert_int_equal(find(s, "b@d.test", NOW), SENDER_BLOCK);
	assert_int_equal(find(s, "a@d.test", NOW), SENDER_PERMIT);
	assert_int_equal(find(s, "z@d.test", NOW), SENDER_PERMIT);
	assert_int_equal(find(s, "z@sub.d.test", NOW), SENDER_NONE);
	put(s, "@d.test", SENDER_BLOCK, 0);
	assert_int_equal(find(s, "a@d.test", NOW), SENDER_BLOCK);
	put(s, "p@d.test", SENDER_PERMIT, 0);
	assert_int_equal(find(s, "p@d.test", NOW), SENDER_BLOCK);

	put(s, "a@e.test", SENDER_AUTO, NOW + DAY);
	put(s, "@e.test", SENDER_DISABLED, NOW + DAY);
	assert_int_equal(find(s, "a@e.test", NOW), SENDER_AUTO);
	assert_int_equal(find(s, "x@e.test", NOW), SENDER_DISABLED);
	assert_int_equal(find(s, "a@e.test", NOW + DAY), SENDER_NONE);
	store_close(&s);
}

static void
test_delete(void **state)
{
	struct store *s = scratch_open(*state);
	struct sender_entry gone[] = {
		{ .inside = INSIDE, .outside = "a@p.test" },
		{ .inside = INSIDE, .outside = "none@p.test" },
	};
	struct senders_change c;

	put(s, "a@p.test", SENDER_BLOCK, 0);
	put(s, "b@p.test", SENDER_BLOCK, 0);
	senders_change_init(&c);
	c.remove = true;
	c.entries = gone;
	c.n = 2;
	submit_wait(s, &c.op);
	assert_int_equal(c.op.result, STORE_OK);
	assert_int_equal(c.changed, 1);
	assert_int_equal(count(s, NOW), 1);
	store_close(&s);
}

static void
test_filters(void **state)
{
	struct store *s = scratch_open(*state);
	struct senders_filter f = { .outside = "@p.test" };

	put(s, "a@p.test", SENDER_PERMIT, 0);
	put(s, "@p.test", SENDER_BLOCK, 0);
	put(s, "a@xp.test", SENDER_AUTO, NOW + DAY);
	assert_string_equal(list(s, f).text,
	                    INSIDE " @p.test\n" INSIDE " a@p.test\n");
	f = (struct senders_filter){ .type = SENDER_AUTO };
	assert_string_equal(list(s, f).text, INSIDE " a@xp.test\n");
	f.now_ms = NOW + DAY;
	assert_int_equal(list(s, f).n, 0);
	f = (struct senders_filter){ .inside = INSIDE };
	assert_int_equal(list(s, f).n, 3);
	f.inside = "ann@example.co";
	assert_int_equal(list(s, f).n, 0);
	f.inside = "@example.com";
	assert_int_equal(list(s, f).n, 3);
	store_close(&s);
}

/* Fills n Auto entries of several insides, every third one over at NOW. */
static void
fill_many(struct store *s, unsigned n)
{
	struct sender_entry *entries = mem_alloc(n * sizeof(*entries));
	struct senders_change c;

	for (unsigned i = 0; i < n; i++) {
		entries[i].inside = mem_printf("u%u@example.com", i % 7);
		entries[i].outside = mem_printf("r%04u@p.test", i);
		entries[i].type = SENDER_AUTO;
		entries[i].made_ms = NOW - DAY;
		entries[i].used_ms = NOW - DAY;
		entries[i].expires_ms = i % 3 == 0 ? NOW : NOW + 1;
	}
	senders_change_init(&c);
	c.entries = entries;
	c.n = n;
	submit_wait(s, &c.op);
	assert_int_equal(c.op.result, STORE_OK);
	for (unsigned i = 0; i < n; i++) {
		free(mem_unconst(entries[i].inside));
		free(mem_unconst(entries[i].outside));
	}
	free(entries);
}

/* Pages neither skip nor repeat, also when the scan ends them early. */
static void
test_pages(void **state)
{
	struct store *s = scratch_open(*state);
	struct senders_reader *r = NULL;
	struct senders_filter f = { .now_ms = NOW, .limit = 9, .scan = 20 };
	char last[SENDER_KEY_MAX] = "";
	struct senders_page page = { .more = true };
	struct err e = { 0 };
	size_t n = 0;
	unsigned pages = 0;

	fill_many(s, MANY);
	assert_int_equal(senders_open(s, &r, &e), 0);
	f.outside = "@p.test";
	while (page.more) {
		struct listed l = { 0 };

		assert_int_equal(senders_list(r, &f, on_entry, &l, &page, &e),
		                 0);
		assert_true(l.n <= 9);
		if (l.n > 0) {
			assert_true(strcmp(last, l.text) < 0);
			(void)snprintf(last, sizeof(last), "%.300s", l.text);
		}
		n += l.n;
		f.after_inside = page.inside;
		f.after_outside = page.outside;
		pages++;
		assert_true(pages < MANY);
	}
	assert_int_equal(n, MANY - MANY / 3);
	/* One inside alone, whatever page it begins on. */
	f = (struct senders_filter){ .inside = "u3@example.com",
		                     .now_ms = NOW - 1,
		                     .limit = 1000,
		                     .scan = MANY / 7 + 2 };
	{
		struct listed l = { 0 };

		assert_int_equal(senders_list(r, &f, on_entry, &l, &page, &e),
		                 0);
		assert_false(page.more);
		assert_int_equal(l.n, MANY / 7 + 1);
	}
	senders_close(&r);
	store_close(&s);
}

static void
test_aging(void **state)
{
	struct store *s = scratch_open(*state);
	struct senders_aging a;
	uint64_t removed = 0;
	unsigned steps = 0;
	bool on = true;

	fill_many(s, MANY);
	put(s, "p@p.test", SENDER_BLOCK, 0);
	senders_aging_init(&a);
	a.now_ms = NOW;
	a.limit = 20;
	while (on) {
		submit_wait(s, &a.op);
		assert_int_equal(a.op.result, STORE_OK);
		assert_true(a.removed <= 20);
		removed += a.removed;
		on = senders_aging_advance(&a);
		steps++;
	}
	assert_int_equal(removed, MANY / 3);
	assert_int_equal(steps, MANY / 20 + 1);
	/* Really gone, not only hidden. */
	assert_int_equal(count(s, NOW - DAY), MANY - MANY / 3 + 1);
	/* The next walk finds what is over by then. */
	a.now_ms = NOW + 1;
	a.limit = 10 * MANY;
	submit_wait(s, &a.op);
	assert_int_equal(a.removed, MANY - MANY / 3);
	assert_false(senders_aging_advance(&a));
	assert_int_equal(count(s, NOW - DAY), 1);
	store_close(&s);
}

static void
test_words(void **state)
{
	enum sender_type type = SENDER_NONE;

	(void)state; /* cmocka's type */
	for (int i = SENDER_DISABLED; i <= SENDER_BLOCK; i++) {
		const char *word = sender_type_word((enum sender_type)i);

		assert_int_equal(sender_type_parse(word, &type), 0);
		assert_int_equal(type, i);
	}
	assert_int_equal(sender_type_parse("none", &type), -1);
	assert_int_equal(sender_type_parse("Auto", &type), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_learned_and_renewed, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_people_stay, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_cap_of_a_message, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_cap_of_a_sender, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_taught, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_precedence, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_aging, setup, teardown),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

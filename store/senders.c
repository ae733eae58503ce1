/*
 * The table of managed senders. Learning and what people do run on the
 * committer, within its transactions; looking on connections of its own.
 * Knows no policy: who may teach, and when, is decided elsewhere.
 */
#include "store/senders.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/index_private.h"
#include "store/store_private.h"

#define SCAN_MAX  50000
#define CACHE_KIB 24576

_Static_assert(SENDER_DISABLED == 1 && SENDER_AUTO == 2,
               "the numbers in the statements");

static const char *const words[] = {
	[SENDER_NONE] = "none",   [SENDER_DISABLED] = "disabled",
	[SENDER_AUTO] = "auto",   [SENDER_PERMIT] = "permit",
	[SENDER_BLOCK] = "block",
};

const char *
sender_type_word(enum sender_type t)
{
	return words[t];
}

int
sender_type_parse(const char *word, enum sender_type *type_r)
{
	for (int i = SENDER_DISABLED; i <= SENDER_BLOCK; i++) {
		if (strcmp(word, words[i]) == 0) {
			*type_r = (enum sender_type)i;
			return 0;
		}
	}
	return -1;
}

static const char *
key_at(sqlite3_stmt *st, int column)
{
	const char *text = (const char *)sqlite3_column_text(st, column);

	return text != NULL ? text : "";
}

static void
copy_key(char out[SENDER_KEY_MAX], const char *key)
{
	size_t len = strnlen(key, SENDER_KEY_MAX - 1);

	memcpy(out, key, len);
	out[len] = '\0';
}

/* ---- counts of new entries -------------------------------------------- */

/* FNV-1a; 0 means free. */
static uint64_t
key_of(const char *s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *s != '\0'; s++) {
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	}
	return h != 0 ? h : 1;
}

/* The tally of that key, or the oldest of its set, cleared for it. */
static struct tally *
tally_of(struct tally *table, size_t sets, uint64_t key, bool *known_r)
{
	size_t set = (size_t)(key * 0x9e3779b97f4a7c15u >> 32) & (sets - 1);
	struct tally *oldest = &table[set * TALLY_WAYS];

	for (size_t i = 0; i < TALLY_WAYS; i++) {
		struct tally *t = &table[set * TALLY_WAYS + i];

		if (t->key == key) {
			*known_r = true;
			return t;
		}
		if (t->key == 0 ||
		    (oldest->key != 0 && t->turn < oldest->turn)) {
			oldest = t;
		}
	}
	*known_r = false;
	memset(oldest, 0, sizeof(*oldest));
	oldest->key = key;
	return oldest;
}

static void
tally_touch(struct tally *t, uint64_t turn)
{
	if (t->turn != turn) {
		t->turn = turn;
		t->fresh = 0;
	}
}

static void
tally_add(struct tally *t)
{
	t->count++;
	t->fresh++;
}

void
senders_unlearn(struct index *ix)
{
	for (size_t i = 0; i < TALLY_MESSAGES * TALLY_WAYS; i++) {
		struct tally *t = &ix->messages[i];

		if (t->turn == ix->turn) {
			t->count -= t->fresh;
			t->fresh = 0;
		}
	}
	/* These can be counted anew. */
	for (size_t i = 0; i < TALLY_SENDERS * TALLY_WAYS; i++) {
		if (ix->senders[i].turn == ix->turn) {
			ix->senders[i].key = 0;
		}
	}
}

static enum index_result
count_recent(struct index *ix, const struct sender_lesson *l, struct tally *t)
{
	sqlite3_stmt *st = ix->st[ST_SENDER_RECENT];
	enum index_result r = INDEX_OK;

	index_bind_text(st, 1, l->inside);
	sqlite3_bind_int64(st, 2, l->now_ms - l->window_ms);
	if (sqlite3_step(st) == SQLITE_ROW) {
		sqlite3_int64 n = sqlite3_column_int64(st, 0);

		t->count = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX - 1;
		t->since_ms = n > 0 ? sqlite3_column_int64(st, 1) : l->now_ms;
	} else {
		r = index_classify(ix, "count new senders");
	}
	sqlite3_reset(st);
	return r;
}

/* The sender's window, begun anew when it is over. */
static enum index_result
sender_tally(struct index *ix, const struct sender_lesson *l,
             struct tally **t_r)
{
	enum index_result r = INDEX_OK;
	struct tally *t;
	bool known;

	t = tally_of(ix->senders, TALLY_SENDERS, key_of(l->inside), &known);
	if (!known) {
		r = count_recent(ix, l, t);
	} else if (l->now_ms >= t->since_ms + l->window_ms ||
	           l->now_ms < t->since_ms) {
		t->count = 0;
		t->since_ms = l->now_ms;
	}
	if (r != INDEX_OK) {
		t->key = 0;
	}
	tally_touch(t, ix->turn);
	*t_r = t;
	return r;
}

/* ---- learning --------------------------------------------------------- */

static enum index_result
write_pair(struct index *ix, enum statement which,
           const struct sender_lesson *l, size_t i, bool *changed_r)
{
	sqlite3_stmt *st = ix->st[which];
	enum index_result r;

	index_bind_text(st, 1, l->inside);
	index_bind_text(st, 2, l->outside[i]);
	sqlite3_bind_int64(st, 3, l->now_ms);
	sqlite3_bind_int64(st, 4, l->now_ms + l->expire_ms);
	r = index_run(ix, which);
	*changed_r = r == INDEX_OK && sqlite3_changes(ix->db) == 1;
	return r;
}

/* The caps leave room for another new entry. */
static bool
has_room(const struct sender_lesson *l, const struct tally *message,
         const struct tally *sender)
{
	return (l->per_message == 0 || message->count < l->per_message) &&
	       (l->per_sender == 0 || sender->count < l->per_sender);
}

enum index_result
senders_learn(struct index *ix, const struct store_op *op)
{
	const struct sender_lesson *l = op->lesson;
	struct tally *message = NULL;
	struct tally *sender = NULL;
	enum index_result r = INDEX_OK;
	bool known;

	for (size_t i = 0; r == INDEX_OK && i < l->n; i++) {
		bool done = false;

		r = write_pair(ix, ST_SENDER_RENEW, l, i, &done);
		if (r != INDEX_OK || done) {
			continue;
		}
		if (sender == NULL) {
			message = tally_of(ix->messages, TALLY_MESSAGES, op->id,
			                   &known);
			tally_touch(message, ix->turn);
			r = sender_tally(ix, l, &sender);
		}
		if (r != INDEX_OK || !has_room(l, message, sender)) {
			continue;
		}
		r = write_pair(ix, ST_SENDER_MAKE, l, i, &done);
		if (done) {
			tally_add(message);
			tally_add(sender);
		}
	}
	return r;
}

/* ---- what people do --------------------------------------------------- */

static enum index_result
put_entry(struct index *ix, const struct sender_entry *entry)
{
	sqlite3_stmt *st = ix->st[ST_SENDER_PUT];

	index_bind_text(st, 1, entry->inside);
	index_bind_text(st, 2, entry->outside);
	sqlite3_bind_int(st, 3, (int)entry->type);
	sqlite3_bind_int64(st, 4, entry->made_ms);
	sqlite3_bind_int64(st, 5, entry->used_ms);
	if (entry->expires_ms == 0) {
		sqlite3_bind_null(st, 6);
	} else {
		sqlite3_bind_int64(st, 6, entry->expires_ms);
	}
	return index_run(ix, ST_SENDER_PUT);
}

static enum index_result
delete_entry(struct index *ix, const struct sender_entry *entry,
             size_t *changed)
{
	sqlite3_stmt *st = ix->st[ST_SENDER_DELETE];
	enum index_result r;

	index_bind_text(st, 1, entry->inside);
	index_bind_text(st, 2, entry->outside);
	r = index_run(ix, ST_SENDER_DELETE);
	*changed += r == INDEX_OK && sqlite3_changes(ix->db) == 1;
	return r;
}

static int
write_change(struct index *ix, struct store_op *op)
{
	struct senders_change *c =
		(struct senders_change *)((char *)op -
	                                  offsetof(struct senders_change, op));
	enum index_result r = INDEX_OK;

	c->changed = 0;
	for (size_t i = 0; r == INDEX_OK && i < c->n; i++) {
		if (c->remove) {
			r = delete_entry(ix, &c->entries[i], &c->changed);
		} else {
			r = put_entry(ix, &c->entries[i]);
			c->changed++;
		}
	}
	return (int)r;
}

void
senders_change_init(struct senders_change *c)
{
	memset(c, 0, sizeof(*c));
	c->op.kind = STORE_NOTE;
	c->op.write = write_change;
}

/* ---- what is over ----------------------------------------------------- */

/* Where the step ends: "" for the end of the table. */
static enum index_result
find_next(struct index *ix, struct senders_aging *a)
{
	sqlite3_stmt *st = ix->st[ST_SENDER_STEP];
	enum index_result r = INDEX_OK;
	int rc;

	index_bind_text(st, 1, a->inside);
	index_bind_text(st, 2, a->outside);
	sqlite3_bind_int64(st, 3, a->limit);
	rc = sqlite3_step(st);
	a->next_inside[0] = '\0';
	a->next_outside[0] = '\0';
	if (rc == SQLITE_ROW) {
		copy_key(a->next_inside, key_at(st, 0));
		copy_key(a->next_outside, key_at(st, 1));
	} else if (rc != SQLITE_DONE) {
		r = index_classify(ix, "walk the senders");
	}
	sqlite3_reset(st);
	return r;
}

static int
write_aging(struct index *ix, struct store_op *op)
{
	struct senders_aging *a =
		(struct senders_aging *)((char *)op -
	                                 offsetof(struct senders_aging, op));
	sqlite3_stmt *st = ix->st[ST_SENDER_EXPIRE];
	enum index_result r = find_next(ix, a);

	if (r != INDEX_OK) {
		return (int)r;
	}
	index_bind_text(st, 1, a->inside);
	index_bind_text(st, 2, a->outside);
	if (a->next_inside[0] != '\0') {
		index_bind_text(st, 3, a->next_inside);
	} else {
		sqlite3_bind_zeroblob(st, 3, 0); /* behind every text */
	}
	index_bind_text(st, 4, a->next_outside);
	sqlite3_bind_int64(st, 5, a->now_ms);
	r = index_run(ix, ST_SENDER_EXPIRE);
	a->removed = r == INDEX_OK ? (uint64_t)sqlite3_changes(ix->db) : 0;
	return (int)r;
}

void
senders_aging_init(struct senders_aging *a)
{
	memset(a, 0, sizeof(*a));
	a->op.kind = STORE_NOTE;
	a->op.write = write_aging;
}

bool
senders_aging_advance(struct senders_aging *a)
{
	memcpy(a->inside, a->next_inside, sizeof(a->inside));
	memcpy(a->outside, a->next_outside, sizeof(a->outside));
	return a->inside[0] != '\0';
}

/* ---- looking ---------------------------------------------------------- */

struct senders_reader {
	sqlite3 *db;
	sqlite3_stmt *find;
	sqlite3_stmt *list;
};

/* Two descents, and nothing that SQLite would gather in between. */
#define FIND_ONE(name)                                                         \
	"coalesce((SELECT type FROM sender WHERE inside = ?1 AND outside = "   \
	name " AND (expires IS NULL OR expires > ?4)), 0)"

static const char find_sql[] =
	"SELECT max(" FIND_ONE("?2") ", " FIND_ONE("?3") ")";

static const char list_sql[] =
	"SELECT inside, outside, type, made, used, expires FROM sender"
	" WHERE (inside, outside) > (?1, ?2) ORDER BY inside, outside";

static bool
prepare(struct senders_reader *r, const char *sql, sqlite3_stmt **st_r)
{
	return sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
	                          st_r, NULL) == SQLITE_OK;
}

int
senders_open(struct store *s, struct senders_reader **r_r, struct err *e)
{
	struct senders_reader *r = mem_alloc(sizeof(*r));
	char *cache = mem_printf("PRAGMA cache_size = -%d", CACHE_KIB);
	int rc = -1;

	if (index_connect(s->db_path, true, &r->db, e) == 0) {
		/* Room for the upper levels of millions of entries. */
		(void)sqlite3_exec(r->db, cache, NULL, NULL, NULL);
		if (prepare(r, find_sql, &r->find) &&
		    prepare(r, list_sql, &r->list)) {
			rc = 0;
		} else {
			index_fail(r->db, "prepare the senders", e);
		}
	}
	free(cache);
	if (rc == -1) {
		senders_close(&r);
		return -1;
	}
	*r_r = r;
	return 0;
}

void
senders_close(struct senders_reader **r)
{
	struct senders_reader *gone = *r;

	*r = NULL;
	if (gone == NULL) {
		return;
	}
	sqlite3_finalize(gone->find);
	sqlite3_finalize(gone->list);
	sqlite3_close(gone->db);
	free(gone);
}

int
senders_find(struct senders_reader *r, const char *inside, const char *outside,
             int64_t now_ms, enum sender_type *type_r, struct err *e)
{
	const char *domain = strrchr(outside, '@');
	int type = SENDER_NONE;
	int rc;

	index_bind_text(r->find, 1, inside);
	index_bind_text(r->find, 2, outside);
	index_bind_text(r->find, 3, domain != NULL ? domain : outside);
	sqlite3_bind_int64(r->find, 4, now_ms);
	rc = sqlite3_step(r->find);
	if (rc == SQLITE_ROW) {
		type = sqlite3_column_int(r->find, 0);
	}
	sqlite3_reset(r->find);
	if (rc != SQLITE_ROW) {
		return index_fail(r->db, "find a sender", e);
	}
	if (type < SENDER_NONE || type > SENDER_BLOCK) {
		return err_set(e, ERR_CORRUPT, "a sender of type %d", type);
	}
	*type_r = (enum sender_type)type;
	return 0;
}

/* Is the key what the filter asks for? */
static bool
fits(const char *filter, const char *key)
{
	size_t len;
	size_t have;

	if (filter == NULL) {
		return true;
	}
	len = strlen(filter);
	have = strlen(key);
	if (filter[0] != '@') {
		return strcmp(filter, key) == 0;
	}
	return have >= len && strcmp(key + have - len, filter) == 0;
}

static bool
read_entry(sqlite3_stmt *st, struct sender_entry *entry)
{
	int type = sqlite3_column_int(st, 2);

	entry->inside = key_at(st, 0);
	entry->outside = key_at(st, 1);
	entry->made_ms = sqlite3_column_int64(st, 3);
	entry->used_ms = sqlite3_column_int64(st, 4);
	entry->expires_ms = sqlite3_column_int64(st, 5); /* NULL: 0 */
	if (type < SENDER_DISABLED || type > SENDER_BLOCK) {
		return false;
	}
	entry->type = (enum sender_type)type;
	return true;
}

/* One inside address alone: its entries lie together. */
static bool
is_single(const struct senders_filter *f)
{
	return f->inside != NULL && f->inside[0] != '@';
}

static void
bind_begin(sqlite3_stmt *st, const struct senders_filter *f)
{
	const char *inside = f->after_inside != NULL ? f->after_inside : "";
	const char *outside = f->after_outside != NULL ? f->after_outside : "";

	if (is_single(f) && strcmp(inside, f->inside) < 0) {
		inside = f->inside;
		outside = "";
	}
	index_bind_text(st, 1, inside);
	index_bind_text(st, 2, outside);
}

static bool
is_wanted(const struct senders_filter *f, const struct sender_entry *entry)
{
	return (f->type == SENDER_NONE || f->type == entry->type) &&
	       (entry->expires_ms == 0 || entry->expires_ms > f->now_ms) &&
	       fits(f->inside, entry->inside) &&
	       fits(f->outside, entry->outside);
}

int
senders_list(struct senders_reader *r, const struct senders_filter *f,
             void (*row)(void *arg, const struct sender_entry *entry),
             void *arg, struct senders_page *page_r, struct err *e)
{
	uint32_t scan = f->scan != 0 ? f->scan : SCAN_MAX;
	struct senders_page page = { 0 };
	struct sender_entry entry;
	uint32_t rows = 0;
	uint32_t n = 0;
	int rc;

	bind_begin(r->list, f);
	while ((rc = sqlite3_step(r->list)) == SQLITE_ROW) {
		bool wanted =
			read_entry(r->list, &entry) && is_wanted(f, &entry);

		if (is_single(f) && strcmp(entry.inside, f->inside) != 0) {
			rc = SQLITE_DONE;
			break;
		}
		if (n == scan || (rows == f->limit && wanted)) {
			page.more = true;
			rc = SQLITE_DONE;
			break;
		}
		n++;
		if (wanted) {
			row(arg, &entry);
			rows++;
		}
		copy_key(page.inside, entry.inside);
		copy_key(page.outside, entry.outside);
	}
	sqlite3_reset(r->list);
	if (rc != SQLITE_DONE) {
		return index_fail(r->db, "list senders", e);
	}
	*page_r = page;
	return 0;
}

/*
 * Reads the CSV file of senders into one block of text and a hash table, and
 * answers from them. Knows no meaning of columns but "address".
 */
#include "policy/directory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/csv.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "policy/scope.h"

#define NAME_MAX_HERE 100 /* octets of a column's name */
#define NO_COLUMN     SIZE_MAX

/*
 * A person is an entry of the table: where the record begins in the text. A
 * record is its key (the address, as it is compared) and every cell, each with
 * its NUL. Offset 0 holds nothing, so that 0 is a free entry.
 */
struct directory {
	_Atomic unsigned refs;
	char *columns[DIRECTORY_COLUMNS_MAX + 1]; /* NULL behind the last */
	size_t columns_n;
	size_t address; /* which column */
	char *text;

	struct slot {
		size_t at;
		uint64_t hash;
	} * slots;

	size_t mask; /* slots less one; their number is a power of two */
	size_t people;
};

/* While it is being read. */
struct reading {
	struct directory *d;
	struct csv_reader csv;
	struct csv_record *record;
	struct buf text;
	struct err *e;
};

static uint64_t
hash_of(const char *key)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	for (; *key != '\0'; key++) {
		h = (h ^ (unsigned char)*key) * UINT64_C(1099511628211);
	}
	return h ^ h >> 32;
}

/* ---- keys ------------------------------------------------------------- */

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Letters, digits and the signs, in pieces with single dots between: copied in
 * small letters. NULL: it is anything else; else where it ends. */
static const char *
copy_plain(const char *s, const char *signs, size_t max, char *out)
{
	const char *begin = s;

	while (is_alnum(*s) || (*s != '\0' && strchr(signs, *s) != NULL) ||
	       (*s == '.' && s > begin && s[-1] != '.')) {
		if ((size_t)(s - begin) == max) {
			return NULL;
		}
		*out++ = lower(*s++);
	}
	*out = '\0';
	return s == begin || s[-1] == '.' ? NULL : s;
}

/* What scope_key says, at once for the address as everybody has it: of a local
 * part without quotes, and a domain of short labels without hyphens at their
 * ends or two in a row, the last of which begins with a letter. */
static bool
key_of(const char *address, char out[SCOPE_KEY_MAX])
{
	const char *at = copy_plain(address, "_+-", 64, out);
	const char *end = NULL;
	const char *label = NULL;
	char *domain = NULL;

	if (at != NULL && *at == '@') {
		domain = out + (at - address) + 1;
		end = copy_plain(at + 1, "-", 60, domain);
	}
	label = domain == NULL ? NULL : strrchr(domain, '.');
	if (end != NULL && *end == '\0' && label != NULL && label[1] >= 'a' &&
	    label[1] <= 'z' && domain[0] != '-' && end[-1] != '-' &&
	    strstr(domain, "--") == NULL && strstr(domain, ".-") == NULL &&
	    strstr(domain, "-.") == NULL) {
		domain[-1] = '@';
		return true;
	}
	return scope_key(address, true, out) != NULL;
}

/* ---- the table -------------------------------------------------------- */

/* The entry of the key, or the free one where it belongs. */
static struct slot *
slot_of(const struct directory *d, const char *text, const char *key,
        uint64_t hash)
{
	size_t i = hash & d->mask;

	while (d->slots[i].at != 0 &&
	       (d->slots[i].hash != hash ||
	        strcmp(text + d->slots[i].at, key) != 0)) {
		i = (i + 1) & d->mask;
	}
	return &d->slots[i];
}

static void
grow(struct directory *d, size_t slots)
{
	struct slot *old = d->slots;
	size_t old_n = old == NULL ? 0 : d->mask + 1;

	d->slots = mem_alloc(slots * sizeof(*d->slots));
	d->mask = slots - 1;
	for (size_t i = 0; i < old_n; i++) {
		size_t to = old[i].hash & d->mask;

		if (old[i].at == 0) {
			continue;
		}
		while (d->slots[to].at != 0) {
			to = (to + 1) & d->mask;
		}
		d->slots[to] = old[i];
	}
	free(old);
}

/* ---- text ------------------------------------------------------------- */

/* What a cell may not hold, NULL when it is good. */
static const char *
text_fault(const char *s)
{
	size_t len = strlen(s);
	uint32_t c = 0;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_decode(s + i, len - i, &c);

		if (n == 0) {
			return "text that is not UTF-8";
		}
		if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
			return "a control character";
		}
		i += n;
	}
	return NULL;
}

/* Blanks at both ends off. */
static const char *
trim(const char *s, size_t *len_r)
{
	size_t len = strlen(s);

	while (len > 0 && (*s == ' ' || *s == '\t')) {
		s++;
		len--;
	}
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t')) {
		len--;
	}
	*len_r = len;
	return s;
}

/* ---- the first line --------------------------------------------------- */

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-';
}

static int
add_column(struct reading *r, const char *cell)
{
	struct directory *d = r->d;
	char name[NAME_MAX_HERE + 1];
	size_t len = 0;
	const char *text = trim(cell, &len);

	if (len == 0 || len > NAME_MAX_HERE) {
		return err_set(r->e, ERR_INVALID,
		               "line %zu: column %zu has %s name",
		               r->record->line, d->columns_n + 1,
		               len == 0 ? "no" : "too long a");
	}
	for (size_t i = 0; i < len; i++) {
		char c = text[i] == ' ' ? '_' : text[i];

		name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		if (!is_name_char(name[i])) {
			return err_set(r->e, ERR_INVALID,
			               "line %zu: the name of column %zu: "
			               "letters, digits, \"_\" and \"-\" only",
			               r->record->line, d->columns_n + 1);
		}
	}
	name[len] = '\0';
	for (size_t i = 0; i < d->columns_n; i++) {
		if (strcmp(d->columns[i], name) == 0) {
			return err_set(r->e, ERR_INVALID,
			               "line %zu: two columns are named %s",
			               r->record->line, name);
		}
	}
	if (strcmp(name, "address") == 0) {
		d->address = d->columns_n;
	}
	d->columns[d->columns_n++] = mem_strdup(name);
	return 0;
}

/* 1: a record; 0: the end; -1. */
static int
next_record(struct reading *r)
{
	const char *why = NULL;

	switch (csv_next(&r->csv, r->record, &why)) {
	case CSV_RECORD:
		return 1;
	case CSV_END:
		return 0;
	case CSV_BAD:
		break;
	}
	return err_set(r->e, ERR_INVALID, "line %zu: %s", r->record->line, why);
}

static int
read_columns(struct reading *r)
{
	struct directory *d = r->d;
	int rc = next_record(r);

	if (rc == 0) {
		return err_set(r->e, ERR_INVALID,
		               "line 1: the file is empty; its first line "
		               "names the columns");
	}
	if (rc == -1) {
		return -1;
	}
	for (size_t i = 0; i < r->record->n; i++) {
		if (add_column(r, r->record->cells[i]) == -1) {
			return -1;
		}
	}
	if (d->address == NO_COLUMN) {
		return err_set(r->e, ERR_INVALID,
		               "line %zu: no column is named address",
		               r->record->line);
	}
	return 0;
}

/* ---- people ----------------------------------------------------------- */

static int
add_cell(struct reading *r, size_t i)
{
	const char *cell = i < r->record->n ? r->record->cells[i] : "";
	const char *column = r->d->columns[i];
	const char *fault = text_fault(cell);
	size_t len = 0;
	const char *text = trim(cell, &len);

	if (fault != NULL) {
		return err_set(r->e, ERR_INVALID, "line %zu: %s in column %s",
		               r->record->line, fault, column);
	}
	if (len > DIRECTORY_VALUE_MAX) {
		return err_set(r->e, ERR_LIMIT,
		               "line %zu: column %s has more than %d octets",
		               r->record->line, column, DIRECTORY_VALUE_MAX);
	}
	buf_add(&r->text, text, len);
	buf_add(&r->text, "", 1);
	return 0;
}

static int
add_key(struct reading *r, const char *address)
{
	struct directory *d = r->d;
	char key[SCOPE_KEY_MAX];
	struct slot *slot = NULL;
	uint64_t hash = 0;

	if (text_fault(address) != NULL || !key_of(address, key)) {
		return err_set(r->e, ERR_INVALID,
		               "line %zu: column address holds no address",
		               r->record->line);
	}
	if (d->people == DIRECTORY_PEOPLE_MAX) {
		return err_set(r->e, ERR_LIMIT, "line %zu: more than %d people",
		               r->record->line, DIRECTORY_PEOPLE_MAX);
	}
	if (d->people >= (d->mask + 1) / 2) {
		grow(d, 2 * (d->mask + 1));
	}
	hash = hash_of(key);
	slot = slot_of(d, buf_ptr(&r->text), key, hash);
	if (slot->at != 0) {
		return err_set(r->e, ERR_INVALID, "line %zu: %s is there twice",
		               r->record->line, key);
	}
	slot->at = buf_len(&r->text);
	slot->hash = hash;
	buf_add(&r->text, key, strlen(key) + 1);
	d->people++;
	return 0;
}

/* Spreadsheets write such lines below what they hold. */
static bool
is_empty(const struct csv_record *record)
{
	for (size_t i = 0; i < record->n; i++) {
		if (*record->cells[i] != '\0') {
			return false;
		}
	}
	return true;
}

static int
add_person(struct reading *r)
{
	struct directory *d = r->d;
	char address[SCOPE_KEY_MAX + 1] = "";
	const char *text = "";
	size_t len = 0;

	if (r->record->n > d->columns_n) {
		return err_set(r->e, ERR_INVALID,
		               "line %zu: %zu cells, but %zu columns have a "
		               "name",
		               r->record->line, r->record->n, d->columns_n);
	}
	if (d->address < r->record->n) {
		text = trim(r->record->cells[d->address], &len);
	}
	if (len < sizeof(address)) {
		memcpy(address, text, len);
		address[len] = '\0';
	}
	if (add_key(r, address) == -1) {
		return -1;
	}
	for (size_t i = 0; i < d->columns_n; i++) {
		if (add_cell(r, i) == -1) {
			return -1;
		}
	}
	return 0;
}

struct directory *
directory_new(const char *csv, size_t len, struct err *e)
{
	struct directory *d = mem_alloc(sizeof(*d));
	struct reading r = { .d = d, .e = e };
	int rc = 0;

	atomic_init(&d->refs, 1);
	d->address = NO_COLUMN;
	grow(d, 64);
	r.record = mem_alloc(sizeof(*r.record));
	buf_init(&r.text, SIZE_MAX / 2);
	buf_add(&r.text, "", 1);
	csv_begin(&r.csv, csv, len);
	rc = read_columns(&r);
	if (rc == 0) {
		rc = next_record(&r);
	}
	while (rc == 1) {
		rc = is_empty(r.record) ? 0 : add_person(&r);
		rc = rc == -1 ? -1 : next_record(&r);
	}
	free(r.record);
	d->text = buf_steal(&r.text, &len);
	if (rc == -1) {
		directory_unref(&d);
		return NULL;
	}
	d->text = mem_realloc(d->text, len);
	return d;
}

struct directory *
directory_ref(struct directory *d)
{
	(void)atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
	return d;
}

void
directory_unref(struct directory **d)
{
	struct directory *old = *d;

	*d = NULL;
	if (old == NULL || atomic_fetch_sub_explicit(
				   &old->refs, 1, memory_order_acq_rel) > 1) {
		return;
	}
	for (size_t i = 0; i < old->columns_n; i++) {
		free(old->columns[i]);
	}
	free(old->slots);
	free(old->text);
	free(old);
}

size_t
directory_people(const struct directory *d)
{
	return d->people;
}

const char *
directory_column(const struct directory *d, size_t i)
{
	return i < d->columns_n ? d->columns[i] : NULL;
}

const char *
directory_value(const struct directory *d, const char *address,
                const char *column)
{
	char key[SCOPE_KEY_MAX];
	const struct slot *slot = NULL;
	const char *at = NULL;
	size_t i = 0;

	while (d != NULL && i < d->columns_n &&
	       strcmp(d->columns[i], column) != 0) {
		i++;
	}
	if (d == NULL || i == d->columns_n) {
		return NULL;
	}
	if (!key_of(address, key)) {
		return "";
	}
	slot = slot_of(d, d->text, key, hash_of(key));
	if (slot->at == 0) {
		return "";
	}
	at = d->text + slot->at;
	for (size_t k = 0; k <= i; k++) {
		at += strlen(at) + 1; /* the key, then the cells before it */
	}
	return at;
}

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/csv.h"
#include "base/mem.h"
#include "daemon/control/control_senders.h"

/*
 * A file of managed senders becomes one transaction, on a worker. What is
 * refused is named by line, the first ones in words.
 */

#define ERRORS_MAX 100

enum column {
	COLUMN_OUTSIDE = 0,
	COLUMN_INSIDE,
	COLUMN_TYPE,
	COLUMN_MADE,
	COLUMN_USED,
	COLUMN_EXPIRES,
	COLUMNS,
};

struct import {
	struct senders_work *w;
	int at[COLUMNS]; /* of each column in the file; -1: not there */
	size_t width;
	size_t n; /* entries */
	size_t cap;
	int64_t now_ms;
};

static const struct {
	const char *name;
	enum column column;
} names[] = {
	{ "outside", COLUMN_OUTSIDE }, { "external", COLUMN_OUTSIDE },
	{ "inside", COLUMN_INSIDE },   { "internal", COLUMN_INSIDE },
	{ "type", COLUMN_TYPE },       { "made", COLUMN_MADE },
	{ "used", COLUMN_USED },       { "expires", COLUMN_EXPIRES },
};

static int
read_header(struct import *im, const struct csv_record *record, struct err *e)
{
	for (int i = 0; i < COLUMNS; i++) {
		im->at[i] = -1;
	}
	for (size_t i = 0; i < record->n; i++) {
		int column = -1;

		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
			if (strcasecmp(record->cells[i], names[k].name) == 0) {
				column = (int)names[k].column;
			}
		}
		if (column == -1) {
			return err_set(e, ERR_INVALID,
			               "the first line names the columns: there"
			               " are outside, inside, type, made, used,"
			               " expires, not \"%.60s\"",
			               record->cells[i]);
		}
		if (im->at[column] != -1) {
			return err_set(e, ERR_INVALID,
			               "the column \"%.60s\" is there twice",
			               record->cells[i]);
		}
		im->at[column] = (int)i;
	}
	for (int i = COLUMN_OUTSIDE; i <= COLUMN_TYPE; i++) {
		if (im->at[i] == -1) {
			return err_set(e, ERR_INVALID,
			               "the first line lacks a column: outside,"
			               " inside and type must be there");
		}
	}
	im->width = record->n;
	return 0;
}

static const char *
cell(const struct import *im, const struct csv_record *record, enum column c)
{
	return im->at[c] == -1 ? "" : record->cells[im->at[c]];
}

static int
read_time(const struct import *im, const struct csv_record *record,
          enum column c, int64_t *ms, struct err *e)
{
	const char *text = cell(im, record, c);

	if (text[0] != '\0' && clock_parse_rfc3339(text, ms) == -1) {
		return err_set(e, ERR_INVALID,
		               "\"%.40s\" is not a time like"
		               " 2026-11-24T03:57:55Z",
		               text);
	}
	return 0;
}

static int
read_times(const struct import *im, const struct csv_record *record,
           struct sender_entry *entry, struct err *e)
{
	entry->made_ms = im->now_ms;
	if (read_time(im, record, COLUMN_MADE, &entry->made_ms, e) == -1) {
		return -1;
	}
	entry->used_ms = entry->made_ms;
	if (read_time(im, record, COLUMN_USED, &entry->used_ms, e) == -1 ||
	    read_time(im, record, COLUMN_EXPIRES, &entry->expires_ms, e) ==
	            -1) {
		return -1;
	}
	if (entry->type == SENDER_PERMIT || entry->type == SENDER_BLOCK) {
		return entry->expires_ms == 0
		               ? 0
		               : err_set(e, ERR_INVALID,
		                         "permit and block do not expire");
	}
	if (entry->expires_ms == 0) {
		entry->expires_ms =
			im->now_ms + im->w->conf->managed_senders.expire_ms;
	}
	return 0;
}

static int
read_entry(struct import *im, const struct csv_record *record, struct err *e)
{
	struct senders_work *w = im->w;
	struct sender_entry *entry = &w->entries[im->n];
	const char *type;

	if (record->n != im->width) {
		return err_set(e, ERR_INVALID,
		               "%zu columns, where the first line has %zu",
		               record->n, im->width);
	}
	type = cell(im, record, COLUMN_TYPE);
	memset(entry, 0, sizeof(*entry));
	if (senders_outside(w->conf, cell(im, record, COLUMN_OUTSIDE),
	                    w->outside, e) == -1 ||
	    senders_inside(w->conf, cell(im, record, COLUMN_INSIDE), w->inside,
	                   e) == -1) {
		return -1;
	}
	if (sender_type_parse(type, &entry->type) == -1) {
		return err_set(e, ERR_INVALID,
		               "type \"%.40s\" is none of auto, permit, block,"
		               " disabled",
		               type);
	}
	if (read_times(im, record, entry, e) == -1) {
		return -1;
	}
	entry->outside = mem_strdup(w->outside);
	entry->inside = mem_strdup(w->inside);
	im->n++;
	return 0;
}

static void
note_refusal(struct senders_work *w, size_t line, const char *reason)
{
	w->refused++;
	if (json_array_size(w->errors) < ERRORS_MAX) {
		json_array_append_new(w->errors,
		                      json_pack("{s:I, s:o}", "line",
		                                (json_int_t)line, "reason",
		                                control_json_text(reason)));
	}
}

static void
grow(struct import *im)
{
	if (im->n == im->cap) {
		im->cap = im->cap * 2 + 64;
		im->w->entries = mem_reallocarray(im->w->entries, im->cap,
		                                  sizeof(*im->w->entries));
	}
}

static void
read_file(struct import *im)
{
	struct csv_record *record = mem_alloc(sizeof(*record));
	enum csv_result result;
	struct csv_reader r;
	const char *why = NULL;
	struct err e;

	csv_begin(&r, im->w->csv, im->w->csv_len);
	result = csv_next(&r, record, &why);
	if (result == CSV_END) {
		note_refusal(im->w, 1, "the file is empty");
	} else if (result == CSV_BAD) {
		note_refusal(im->w, record->line, why);
	} else if (read_header(im, record, &e) == -1) {
		note_refusal(im->w, record->line, e.text);
	} else {
		while ((result = csv_next(&r, record, &why)) != CSV_END) {
			grow(im);
			if (result == CSV_BAD) {
				note_refusal(im->w, record->line, why);
			} else if (read_entry(im, record, &e) == -1) {
				note_refusal(im->w, record->line, e.text);
			}
		}
	}
	free(record);
}

static void
on_refused(struct task *t)
{
	struct control_job *job = control_job_of(t);
	struct senders_work *w = job->senders;

	job->code = 409;
	job->body = json_pack("{s:s, s:i, s:I, s:O}", "error",
	                      "nothing was imported: lines were refused",
	                      "imported", 0, "refused", (json_int_t)w->refused,
	                      "errors", w->errors);
	control_job_send(job);
}

void
control_import_work(struct control_job *job)
{
	struct senders_work *w = job->senders;
	struct import im = { .w = w, .now_ms = clock_wall_ms() };

	w->errors = json_array();
	read_file(&im);
	w->change.entries = w->entries;
	w->change.n = im.n;
	if (w->refused > 0 && (!w->partial || im.n == 0)) {
		control_job_later(job, on_refused);
		return;
	}
	senders_submit(w);
}

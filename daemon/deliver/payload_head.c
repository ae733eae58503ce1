/*
 * The last steps of rendering: stationery, then signatures over the header and
 * body that leave. Decides nothing about who gets them; that stands with the
 * recipient.
 */
#include "daemon/deliver/payload_head.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/deliver/payload_layout.h"
#include "daemon/net/snapshot.h"
#include "dkim/signer.h"
#include "mime/header.h"
#include "policy/auth_results.h"
#include "policy/status.h"
#include "store/envelope.h"
#include "store/store.h"

#define PIECE        65536
#define HEADER_MAX   (40 * 1024 * 1024) /* limits.header_size, twice */
#define SIGNED_MAX   (DKIM_SIGNERS_MAX * 600)
#define KEEP_MS      60000 /* t= of a signature is not older */
#define CONTENT_OPEN SIZE_MAX

struct work {
	const struct payload_head_source *s; /* &source */
	struct payload_head_source source;
	const struct dkim_signer *signers[DKIM_SIGNERS_MAX];
	size_t signers_n;
	struct dkim_signing *signing;
	struct buf signed_by;
	/* The content's first octets, with all of the header. */
	const char *data;
	size_t len;
	size_t header_len; /* without the empty line */
	size_t body;       /* behind it */
	struct buf read;   /* what data is when it comes from the store */
	struct content_cursor cursor;
	const struct layout *layout; /* NULL: none is put round it now */
	char *whole;                 /* read for that, owned */
	struct stationery_result dressed;
	bool applied;   /* what data is comes from dressed.front */
	struct buf top; /* goes out instead of data's first octets, cut */
	size_t cut;
	struct buf fields; /* signatures */
	struct smtp_status *why;
};

bool
payload_head_wanted(const struct envelope *env, const struct recipient *as)
{
	return as->sign != NULL || as->layout != NULL || env->auth != NULL;
}

/* ---- why not -------------------------------------------------------- */

/* A fault of ours: the mail waits. */
static int
defer(struct work *w, const char *enhanced, const char *what, const char *text)
{
	smtp_status_set(w->why, STATUS_LOCAL, STAGE_CONTENT, 451, enhanced,
	                "%s: %s", what, text);
	w->why->nothing_sent = true;
	return -1;
}

static int
unreadable(struct work *w, const struct err *e)
{
	return defer(w, "4.3.0", "reading the content", e->text);
}

/* A message that breaks the grammar will do so at the next attempt too. */
static int
refuse(struct work *w, const struct err *e)
{
	if (e->code != ERR_INVALID && e->code != ERR_LIMIT) {
		return defer(w, "4.7.0", "not signed", e->text);
	}
	smtp_status_set(w->why, STATUS_POLICY, STAGE_CONTENT, 554, "5.6.0",
	                "the message cannot be signed: %s", e->text);
	w->why->nothing_sent = true;
	return -1;
}

/* ---- who signs ------------------------------------------------------ */

static int
add_signer(struct work *w, const char *name)
{
	const struct snapshot *now = w->s->snapshot;
	const struct conf_dkim *d = conf_find_dkim(now->conf, name);
	const struct dkim_signer *s = NULL;
	struct err e;

	if (now->keys != NULL) {
		s = dkim_keyring_find(now->keys, name);
	}
	if (d == NULL || s == NULL) {
		err_set(&e, ERR_NOT_FOUND,
		        "the DNS authentication definition \"%s\" is gone from "
		        "the configuration",
		        name);
		return refuse(w, &e);
	}
	if (w->signers_n == DKIM_SIGNERS_MAX) {
		err_set(&e, ERR_REFUSED, "more than %d definitions",
		        DKIM_SIGNERS_MAX);
		return refuse(w, &e);
	}
	w->signers[w->signers_n++] = s;
	buf_addf(&w->signed_by, "%s%s/%s", w->signers_n > 1 ? "," : "",
	         d->domain, d->selector);
	return 0;
}

static int
find_signers(struct work *w)
{
	const char *at = w->s->as->sign;
	int result = 0;

	while (result == 0 && at != NULL && *at != '\0') {
		size_t n = strcspn(at, "\n");
		char *name = mem_strndup(at, n);

		result = add_signer(w, name);
		free(name);
		at += n + (at[n] == '\n' ? 1 : 0);
	}
	return result;
}

/* ---- stationery ------------------------------------------------------ */

static int
find_layout(struct work *w)
{
	const char *name = w->s->as->layout;

	if (name == NULL || w->s->dressed != NULL) {
		return 0;
	}
	w->layout = payload_layout_find(w->s->snapshot, name, w->why);
	return w->layout != NULL ? 0 : -1;
}

/* All of it is in memory from here on. */
static int
dress(struct work *w)
{
	struct payload_head_source *s = &w->source;
	const struct content_ref *ref = &s->env->content;
	struct err e = { 0 };

	if (w->layout == NULL) {
		return 0;
	}
	if (s->data == NULL) {
		s->len = (size_t)ref->len;
		w->whole = mem_alloc(s->len + 1);
		if (store_read_content(s->store, s->env->id, ref, 0, w->whole,
		                       s->len, &e) == -1) {
			return unreadable(w, &e);
		}
		s->data = w->whole;
	}
	if (payload_layout_render(s->env, w->layout, s->snapshot, s->data,
	                          s->len, &w->dressed, w->why) == -1) {
		return -1;
	}
	w->applied = w->dressed.outcome == STATIONERY_APPLIED;
	return 0;
}

/* ---- the header ----------------------------------------------------- */

/* false: more of the content is needed to know its end. from: the first octet
 * of a line. */
static bool
find_body(struct work *w, size_t from)
{
	size_t behind;

	if (header_find_end(w->data + from, w->len - from, CONTENT_OPEN,
	                    &behind) != HEADER_COMPLETE) {
		return false;
	}
	w->body = from + behind;
	w->header_len = from + header_block_len(w->data + from, w->len - from);
	return true;
}

static int
read_more(struct work *w)
{
	const struct payload_head_source *s = w->s;
	uint64_t left = s->env->content.len - w->cursor.offset;
	size_t n = left < PIECE ? (size_t)left : PIECE;
	char *at = buf_reserve(&w->read, n);
	struct err e = { 0 };

	if (at == NULL) {
		err_set(&e, ERR_LIMIT, "the header is too large");
		return refuse(w, &e);
	}
	if (store_read_next(s->store, s->env->id, &s->env->content, &w->cursor,
	                    at, n, &e) == -1) {
		return unreadable(w, &e);
	}
	buf_commit(&w->read, n);
	w->data = buf_ptr(&w->read);
	w->len = buf_len(&w->read);
	return 0;
}

/* Begin of the line that the octets end in. */
static size_t
last_line(const char *data, size_t len)
{
	const char *lf = len > 0 ? memrchr(data, '\n', len) : NULL;

	return lf == NULL ? 0 : (size_t)(lf - data) + 1;
}

static int
find_header(struct work *w)
{
	const struct payload_head_source *s = w->s;
	size_t from = 0;

	if (w->applied) {
		w->data = buf_ptr(&w->dressed.front);
		w->len = buf_len(&w->dressed.front);
		if (find_body(w, 0)) {
			return 0;
		}
	} else if (s->data != NULL) {
		w->data = s->data;
		w->len = s->len;
		if (find_body(w, 0)) {
			return 0;
		}
	} else {
		while (w->cursor.offset < s->env->content.len) {
			if (read_more(w) == -1) {
				return -1;
			}
			if (find_body(w, from)) {
				return 0;
			}
			from = last_line(w->data, w->len);
		}
	}
	w->header_len = w->len; /* no empty line: no body */
	w->body = w->len;
	return 0;
}

/* Admission has a lower bound: nothing here rests on it. */
static int
check_size(struct work *w)
{
	const char *auth = w->s->env->auth;
	size_t len = auth != NULL ? strlen(auth) : 0;
	struct err e;

	if (w->header_len > HEADER_MAX / 2 || len > HEADER_MAX / 2) {
		err_set(&e, ERR_LIMIT, "the header is too large");
		return refuse(w, &e);
	}
	return 0;
}

/* The text goes on top, and the header without the fields that say that they
 * are ours too. */
static void
put_auth(struct work *w)
{
	const struct payload_head_source *s = w->s;
	const char *id = s->snapshot->conf->gateway.hostname;

	if (s->env->auth == NULL) {
		return;
	}
	buf_puts(&w->top, s->env->auth);
	if (auth_results_forged(w->data, w->header_len, id)) {
		(void)auth_results_strip(w->data, w->header_len, id, &w->top);
		w->cut = w->header_len;
	}
}

/* ---- signing -------------------------------------------------------- */

static int
sign_header(struct work *w, struct err *e)
{
	bool ends = w->header_len >= 2 &&
	            memcmp(w->data + w->header_len - 2, "\r\n", 2) == 0;
	struct buf all;
	int result;

	if (buf_len(&w->top) == 0 && ends) {
		return dkim_signing_header(w->signing, w->data, w->header_len,
		                           e);
	}
	buf_init(&all, 2 * HEADER_MAX);
	if (buf_len(&w->top) > 0) {
		buf_add(&all, buf_ptr(&w->top), buf_len(&w->top));
	}
	if (w->cut == 0) {
		buf_add(&all, w->data, w->header_len);
	}
	if (!ends) {
		buf_puts(&all, "\r\n"); /* so it ends on the way */
	}
	result = dkim_signing_header(w->signing, buf_ptr(&all), buf_len(&all),
	                             e);
	buf_clear(&all);
	return result;
}

/* The rest of what is in memory, then of the store. */
static int
sign_body(struct work *w, struct err *e)
{
	if (w->len > w->body && dkim_signing_body(w->signing, w->data + w->body,
	                                          w->len - w->body, e) == -1) {
		return refuse(w, e);
	}
	if (w->applied && w->s->len > w->dressed.from &&
	    dkim_signing_body(w->signing, w->s->data + w->dressed.from,
	                      w->s->len - w->dressed.from, e) == -1) {
		return refuse(w, e);
	}
	while (w->s->data == NULL &&
	       w->cursor.offset < w->s->env->content.len) {
		buf_reset(&w->read, PIECE);
		if (read_more(w) == -1) {
			return -1;
		}
		if (dkim_signing_body(w->signing, w->data, w->len, e) == -1) {
			return refuse(w, e);
		}
	}
	return 0;
}

static int
sign(struct work *w)
{
	struct err e = { 0 };

	if (w->signers_n == 0) {
		return 0;
	}
	w->signing =
		dkim_signing_new(w->signers, w->signers_n, clock_wall_ms(), &e);
	if (w->signing == NULL || sign_header(w, &e) == -1) {
		return refuse(w, &e);
	}
	if (sign_body(w, &e) == -1) {
		return -1;
	}
	if (dkim_signing_end(w->signing, &w->fields, &e) == -1) {
		return refuse(w, &e);
	}
	return 0;
}

/* ---- what is kept --------------------------------------------------- */

static char *
put(char *at, const struct buf *b, size_t from)
{
	size_t len = buf_len(b) - from;

	if (len > 0) {
		memcpy(at, buf_ptr(b) + from, len);
	}
	return at + len;
}

static char *
put_text(char *at, const char *text)
{
	size_t size = strlen(text) + 1;

	memcpy(at, text, size);
	return at + size;
}

/* The seam counts: what follows may begin with one. */
static bool
has_dots(const struct work *w)
{
	size_t len = buf_len(&w->dressed.front);
	size_t from = w->dressed.from;

	if (!w->applied) {
		return false;
	}
	const char *front = buf_ptr(&w->dressed.front);
	return front[0] == '.' || memmem(front, len, "\n.", 2) != NULL ||
	       (front[len - 1] == '\n' && from < w->s->len &&
	        w->s->data[from] == '.');
}

static const char *
text_of(const char *s)
{
	return s != NULL ? s : "";
}

static struct payload_head *
make_head(const struct work *w)
{
	const struct stationery_result *dressed =
		w->s->dressed != NULL ? w->s->dressed : &w->dressed;
	const char *sign = text_of(w->s->as->sign);
	const char *layout = text_of(w->s->as->layout);
	size_t front = w->applied ? buf_len(&w->dressed.front) - w->cut : 0;
	size_t len = buf_len(&w->fields) + buf_len(&w->top) + front;
	size_t by = buf_len(&w->signed_by);
	size_t names = strlen(sign) + strlen(layout) + strlen(dressed->why);
	struct payload_head *h = mem_alloc(sizeof(*h) + len + by + names + 4);
	char *at = (char *)(h + 1);

	h->from = w->applied ? w->dressed.from : w->cut;
	h->form = w->s->form;
	h->made_ms = clock_wall_ms();
	h->outcome = dressed->outcome;
	h->dots = has_dots(w);
	h->text = at;
	h->len = len;
	at = put(at, &w->fields, 0);
	at = put(at, &w->top, 0);
	if (w->applied) {
		at = put(at, &w->dressed.front, w->cut);
	}
	h->sign = at;
	at = put_text(at, sign);
	h->layout = at;
	at = put_text(at, layout);
	h->why = at;
	at = put_text(at, dressed->why);
	h->signed_by = by > 0 ? at : NULL;
	(void)put(at, &w->signed_by, 0); /* the rest is zero */
	return h;
}

static const struct payload_head *
find_kept(const struct payload_head_source *s)
{
	const struct payload_head *h = atomic_load(&s->env->kept);
	int64_t now = clock_wall_ms();

	/* What was converted with its layout is not that of another time. */
	if (h == NULL || s->dressed != NULL || h->form != s->form ||
	    strcmp(h->sign, text_of(s->as->sign)) != 0 ||
	    strcmp(h->layout, text_of(s->as->layout)) != 0 ||
	    now < h->made_ms || now - h->made_ms >= KEEP_MS) {
		return NULL;
	}
	return h;
}

/* The first one of a message to several stays with it, for those who come
 * after: whoever has it references the envelope. */
static void
keep(const struct payload_head_source *s, struct payload_head *h)
{
	void *none = NULL;

	if (s->env->recipients_n > 1 && s->dressed == NULL) {
		(void)atomic_compare_exchange_strong(&s->env->kept, &none,
		                                     (void *)h);
	}
}

static void
clear(struct work *w)
{
	dkim_signing_free(&w->signing);
	buf_clear(&w->signed_by);
	buf_clear(&w->read);
	buf_clear(&w->top);
	buf_clear(&w->fields);
	stationery_result_clear(&w->dressed);
	free(w->whole);
}

static int
make(struct work *w)
{
	if (dress(w) == -1 || find_header(w) == -1 || check_size(w) == -1) {
		return -1;
	}
	put_auth(w);
	return sign(w);
}

int
payload_head_make(const struct payload_head_source *s,
                  const struct payload_head **head_r, struct smtp_status *why)
{
	struct work w = { .source = *s, .why = why };
	const struct payload_head *found = NULL;
	int result;

	w.s = &w.source;
	buf_init(&w.signed_by, SIGNED_MAX);
	buf_init(&w.read, HEADER_MAX);
	buf_init(&w.top, HEADER_MAX);
	buf_init(&w.fields, (size_t)DKIM_SIGNERS_MAX * DKIM_FIELD_MAX);
	result = find_signers(&w);
	if (result == 0) {
		result = find_layout(&w);
	}
	if (result == 0) {
		found = find_kept(s);
	}
	if (result == 0 && found == NULL) {
		result = make(&w);
		if (result == 0) {
			struct payload_head *h = make_head(&w);
			keep(s, h);
			found = h;
		}
	}
	if (result == 0) {
		*head_r = found;
	}
	clear(&w);
	return result;
}

void
payload_head_free(const struct envelope *env, const struct payload_head **head)
{
	const struct payload_head *h = *head;

	*head = NULL;
	if (h != NULL && atomic_load(&env->kept) != h) {
		free(mem_unconst(h));
	}
}

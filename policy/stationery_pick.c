/*
 * Which parts are the message's own body, and which of them the stationery
 * goes to. Two passes over the array of parts, no recursion.
 *
 * The body begins in the first text of a multipart/mixed that is no
 * attachment, and goes on in later ones of the same shape, as mailers write
 * that put pictures between paragraphs: what stands above goes into the first,
 * what stands below into the last. Text of another shape (a list's footer
 * behind a multipart/alternative) is seen but gets nothing. Of a multipart/
 * alternative every text gets both, of a multipart/related the root part.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/policy.h"
#include "policy/stationery_private.h"

int
stationery_end(struct stationery_job *j, enum stationery_outcome outcome,
               const char *fmt, ...)
{
	va_list ap;

	j->out->outcome = outcome;
	va_start(ap, fmt);
	(void)vsnprintf(j->out->why, sizeof(j->out->why), fmt, ap);
	va_end(ap);
	return -1;
}

bool
stationery_part_is(const struct stationery_job *j, int i, const char *type,
                   const char *subtype)
{
	const struct structure_part *p = &j->s.parts[i];

	return strcmp(p->type, type) == 0 && strcmp(p->subtype, subtype) == 0;
}

static bool
is_multipart(const struct stationery_job *j, int i)
{
	return (j->s.parts[i].flags & STRUCTURE_MULTIPART) != 0;
}

/* A multipart of which the parts are read one after the other. */
static bool
is_mixed(const struct stationery_job *j, int i)
{
	return is_multipart(j, i) &&
	       !stationery_part_is(j, i, "multipart", "alternative") &&
	       !stationery_part_is(j, i, "multipart", "related");
}

static enum stationery_kind
kind_of(const struct stationery_job *j, int i)
{
	static const struct {
		const char *subtype;
		enum stationery_kind kind;
	} kinds[] = {
		{ "html", STATIONERY_KIND_HTML },
		{ "plain", STATIONERY_KIND_TEXT },
		{ "enriched", STATIONERY_KIND_ENRICHED },
		{ "richtext", STATIONERY_KIND_ENRICHED },
		{ "rtf", STATIONERY_KIND_RTF },
	};

	if (strcmp(j->s.parts[i].type, "text") != 0) {
		return STATIONERY_KIND_NONE;
	}
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		if (strcmp(j->s.parts[i].subtype, kinds[k].subtype) == 0) {
			return kinds[k].kind;
		}
	}
	return STATIONERY_KIND_NONE;
}

/* S/MIME under a name of its own, as some gateways pass it on. */
static bool
is_named_p7m(const struct stationery_job *j, int i)
{
	static const struct {
		const char *field;
		const char *param;
	} places[] = {
		{ "Content-Type", "name" },
		{ "Content-Disposition", "filename" },
	};

	for (size_t k = 0; k < 2; k++) {
		struct header_field f;
		const char *v;
		size_t n;

		if (stationery_field_find(j, i, places[k].field, &f) &&
		    stationery_field_param(j->in->msg, &f, places[k].param, &v,
		                           &n) &&
		    n >= 4 && strncasecmp(v + n - 4, ".p7m", 4) == 0) {
			return true;
		}
	}
	return false;
}

/* The reports of MTAs, of readers and of those who got spam, and what only
 * programs put together again. */
static const char *
automatic_why(const struct stationery_job *j, int i)
{
	static const char *const messages[] = {
		"delivery-status",          "global-delivery-status",
		"disposition-notification", "global-disposition-notification",
		"feedback-report",
	};

	if (stationery_part_is(j, i, "multipart", "report")) {
		return "a report (multipart/report)";
	}
	if (strcmp(j->s.parts[i].type, "message") != 0) {
		return NULL;
	}
	for (size_t k = 0; k < sizeof(messages) / sizeof(messages[0]); k++) {
		if (strcmp(j->s.parts[i].subtype, messages[k]) == 0) {
			return "a delivery report or receipt";
		}
	}
	return stationery_part_is(j, i, "message", "partial")
	               ? "a piece of a message (message/partial)"
	               : NULL;
}

/* A calendar with a method is a meeting, and the message its wrapper (RFC 6047
 * section 2.4), unless it was attached by hand. */
static bool
is_meeting(const struct stationery_job *j, int i)
{
	struct header_field f;
	const char *v;
	size_t n;

	return stationery_part_is(j, i, "text", "calendar") &&
	       stationery_field_find(j, i, "Content-Type", &f) &&
	       stationery_field_param(j->in->msg, &f, "method", &v, &n) &&
	       !stationery_field_is_detached(j, i);
}

static const char *
never_why(const struct stationery_job *j, int i)
{
	const struct structure_part *p = &j->s.parts[i];

	if ((p->flags & STRUCTURE_ENCRYPTED) != 0) {
		return "encrypted (multipart/encrypted)";
	}
	if ((p->flags & STRUCTURE_PKCS7) != 0) {
		return "signed or encrypted (PKCS#7)";
	}
	if (strcmp(p->type, "application") == 0) {
		if (strcmp(p->subtype, "pgp-encrypted") == 0) {
			return "encrypted (PGP/MIME)";
		}
		if (is_named_p7m(j, i)) {
			return "signed or encrypted (PKCS#7, by its name)";
		}
		return NULL;
	}
	if (is_meeting(j, i)) {
		return "a meeting (text/calendar with a method)";
	}
	return automatic_why(j, i);
}

static void
link_parts(struct stationery_job *j)
{
	for (size_t i = 0; i < j->s.n; i++) {
		const struct structure_part *p = &j->s.parts[i];
		struct stationery_part *me = &j->parts[i];
		struct stationery_part *parent;

		me->child = me->last_child = me->next = -1;
		if (p->parent < 0) {
			continue;
		}
		parent = &j->parts[p->parent];
		if (parent->last_child < 0) {
			parent->child = (int)i;
		} else {
			j->parts[parent->last_child].next = (int)i;
		}
		parent->last_child = (int)i;
		me->attached =
			parent->attached ||
			(j->s.parts[p->parent].flags & STRUCTURE_MESSAGE) != 0;
	}
}

static int
check_never(struct stationery_job *j)
{
	const struct conf_layout *conf = j->in->layout->conf;
	bool is_signed = false;

	for (size_t i = 0; i < j->s.n; i++) {
		const struct structure_part *p = &j->s.parts[i];
		const char *why;

		if (j->parts[i].attached) {
			continue;
		}
		why = never_why(j, (int)i);
		if (why != NULL) {
			return stationery_end(j, STATIONERY_UNTOUCHED, "%s",
			                      why);
		}
		if ((p->flags & STRUCTURE_SIGNED) != 0) {
			is_signed = true;
		}
		if (strcmp(p->type, "application") == 0 &&
		    (strcmp(p->subtype, "ms-tnef") == 0 ||
		     strcmp(p->subtype, "vnd.ms-tnef") == 0)) {
			if (j->tnef >= 0) {
				return stationery_end(j, STATIONERY_FAILED,
				                      "two winmail.dat");
			}
			j->tnef = (int)i;
		}
	}
	if (!is_signed) {
		return 0;
	}
	if (strcmp(conf->signed_mail, "wrap") != 0) {
		return stationery_end(j, STATIONERY_UNTOUCHED,
		                      "signed (multipart/signed)");
	}
	j->wrap = true;
	return 0;
}

/* May part i be of the body, as its parent shows it? */
static bool
is_eligible(const struct stationery_job *j, int i)
{
	int parent = j->s.parts[i].parent;

	if (is_mixed(j, parent)) {
		return !stationery_field_is_attachment(j, i);
	}
	return !stationery_part_is(j, parent, "multipart", "related") ||
	       j->parts[parent].child == i;
}

/* From the leaves up: where is text of the body? */
static void
find_text(struct stationery_job *j)
{
	for (size_t k = j->s.n; k-- > 0;) {
		int i = (int)k;
		struct stationery_part *p = &j->parts[i];
		int parent = j->s.parts[i].parent;

		if (p->attached) {
			continue;
		}
		if (structure_is_leaf(&j->s.parts[i])) {
			p->kind = kind_of(j, i);
			p->holds = p->kind != STATIONERY_KIND_NONE;
		}
		if (!p->holds) {
			continue;
		}
		/* What a message of several parts says of itself as a whole,
		 * no reader heeds. */
		p->holds =
			parent >= 0
				? is_eligible(j, i)
				: is_multipart(j, i) ||
					  !stationery_field_is_detached(j, i);
		if (p->holds && parent >= 0) {
			j->parts[parent].holds = true;
		}
	}
}

static bool
same_shape(const struct stationery_job *j, int a, int b)
{
	return is_multipart(j, a) == is_multipart(j, b) &&
	       j->parts[a].kind == j->parts[b].kind &&
	       strcmp(j->s.parts[a].subtype, j->s.parts[b].subtype) == 0;
}

static void
mark_children(struct stationery_job *j, int i)
{
	struct stationery_part *p = &j->parts[i];
	bool in_line = is_mixed(j, i);
	int first = -1;
	int last = -1;

	for (int c = p->child; c >= 0; c = j->parts[c].next) {
		struct stationery_part *child = &j->parts[c];

		if (!child->holds) {
			continue;
		}
		child->body = true;
		if (!in_line) {
			child->above = p->above;
			child->below = p->below;
		} else if (first < 0) {
			first = last = c;
		} else if (same_shape(j, first, c)) {
			last = c;
		}
	}
	if (first >= 0) {
		j->parts[first].above = p->above;
		j->parts[last].below = p->below;
	}
}

/* A multipart/related can name another root than its first part (RFC 2387
 * section 3.2), which readers heed or not. */
static bool
starts_elsewhere(const struct stationery_job *j, int i)
{
	const char *msg = j->in->msg;
	struct header_field f;
	struct header_field id;
	const char *start;
	size_t n;

	if (!stationery_part_is(j, i, "multipart", "related") ||
	    !stationery_field_find(j, i, "Content-Type", &f) ||
	    !stationery_field_param(msg, &f, "start", &start, &n)) {
		return false;
	}
	if (!stationery_field_find(j, j->parts[i].child, "Content-ID", &id)) {
		return true;
	}
	while (id.value < id.value_end &&
	       (msg[id.value] == ' ' || msg[id.value] == '\t')) {
		id.value++;
	}
	return id.value_end - id.value < n ||
	       memcmp(msg + id.value, start, n) != 0;
}

static bool
is_wanted(const struct stationery_job *j, enum stationery_kind kind)
{
	switch (kind) {
	case STATIONERY_KIND_NONE:
		return false;
	case STATIONERY_KIND_HTML:
		return j->in->layout->has_html;
	case STATIONERY_KIND_TEXT:
	case STATIONERY_KIND_ENRICHED:
		return j->in->layout->has_text;
	case STATIONERY_KIND_RTF:
		return j->in->layout->has_html || j->in->layout->has_text;
	}
	return false;
}

int
stationery_pick(struct stationery_job *j)
{
	unsigned n = 0;

	link_parts(j);
	if (check_never(j) == -1) {
		return -1;
	}
	find_text(j);
	j->parts[0].body = j->parts[0].holds;
	j->parts[0].above = j->parts[0].below = j->parts[0].holds;
	for (size_t i = 0; i < j->s.n; i++) {
		struct stationery_part *p = &j->parts[i];

		if (!p->body) {
			continue;
		}
		if (is_multipart(j, (int)i)) {
			if (starts_elsewhere(j, (int)i)) {
				return stationery_end(
					j, STATIONERY_FAILED,
					"a multipart/related whose root is not "
					"its first part");
			}
			mark_children(j, (int)i);
			continue;
		}
		p->wanted = (p->above || p->below) && is_wanted(j, p->kind);
		n += p->wanted;
	}
	if (n > STATIONERY_TARGETS_MAX) {
		return stationery_end(j, STATIONERY_FAILED,
		                      "more than %d texts",
		                      STATIONERY_TARGETS_MAX);
	}
	return 0;
}

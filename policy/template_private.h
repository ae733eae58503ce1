#ifndef SORTIE_POLICY_TEMPLATE_PRIVATE_H
#define SORTIE_POLICY_TEMPLATE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/template.h"

/* What the files of policy/template share. */

#define TEMPLATE_NONE SIZE_MAX

/* Where an attribute stands, which says how its value is escaped. */
enum template_where {
	TEMPLATE_PLAIN = 0,
	TEMPLATE_ELEMENT,
	TEMPLATE_QUOTED,
	TEMPLATE_URL,      /* an address from its begin on */
	TEMPLATE_URL_REST, /* behind a scheme that is good */
	TEMPLATE_URL_TEL,  /* behind "tel:" */
};

/* What is put out as one: octets of the text, or a value. */
struct template_piece {
	size_t start; /* of the text; default of an attribute */
	size_t len;
	bool has_default;
	size_t name; /* of the attribute; NONE: octets */
	enum template_where where;
	size_t tag;  /* the tag or comment that it is of; NONE: text */
	size_t unit; /* the innermost one; NONE: always there */
};

/* A tag vanishes with a unit when its partner is in the unit too. */
struct template_tag {
	size_t piece;   /* its first */
	size_t partner; /* itself: it needs none; NONE: it stays */
	bool shows;     /* an image, a rule */
};

/* What vanishes as one: pieces [first, end). Parents stand before children. */
struct template_unit {
	size_t first;
	size_t end;
	size_t parent; /* NONE */
	bool own;      /* has an attribute without default of its own */
	bool solid;    /* has text that vanishes with no unit within it */
	bool may;      /* vanishes when all attributes in it are empty */
};

struct template
{
	char *text;
	char *masked; /* while compiled: attributes as letters */
	size_t len;
	struct template_piece *pieces;
	size_t pieces_n;
	struct template_tag *tags;
	size_t tags_n;
	struct template_unit *units;
	size_t units_n;
	char **names;
	size_t names_n;
	/* While compiled: the attributes in order. */
	struct template_span *spans;
	size_t spans_n;
};

struct template_span {
	size_t start;
	size_t end;
	size_t line;
	/* As in a piece. name NONE: "{{{{". */
	size_t name;
	size_t value;
	size_t value_len;
	bool has_default;
};

/* Appends the pieces of text [start, end), which holds whole spans only;
 * *span is the first that is not behind start. */
void template_add_pieces(struct template *t, size_t start, size_t end,
                         size_t *span, enum template_where where, size_t tag);
void template_add_unit(struct template *t, size_t first, size_t end);

/* template_html.c */
int template_compile_html(struct template *t, struct err *e);

#endif

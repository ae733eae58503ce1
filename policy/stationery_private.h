#ifndef SORTIE_POLICY_STATIONERY_PRIVATE_H
#define SORTIE_POLICY_STATIONERY_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "mime/edit.h"
#include "mime/header.h"
#include "mime/structure.h"
#include "mime/text_part.h"
#include "policy/layout.h"
#include "policy/stationery.h"

/*
 * One rendering, in the order of the files: the parts that are the body
 * (stationery_pick), the words that the layout has for this sender
 * (stationery_words), what readers see of the body already (stationery_seen),
 * the edits (stationery_edit), and whole MIME parts (stationery_mime).
 *
 * Functions that return int: 0 go on, -1 the outcome stands in job->out.
 */

#define STATIONERY_TARGETS_MAX 16 /* parts that get stationery */
#define STATIONERY_WORDS_MAX   (4 * 1024 * 1024)
#define STATIONERY_BOUNDARY    40

enum stationery_kind {
	STATIONERY_KIND_NONE = 0,
	STATIONERY_KIND_HTML,
	STATIONERY_KIND_TEXT,
	STATIONERY_KIND_ENRICHED,
	STATIONERY_KIND_RTF,
};

struct stationery_part { /* beside the structure's part of that index */
	int child;       /* the first one; -1: none */
	int last_child;
	int next; /* of the same parent; -1: the last */
	enum stationery_kind kind;
	bool attached; /* within a message that is attached */
	bool holds;    /* text of the body, or a part with some in it */
	bool body;     /* so it is part of the body, as readers show it */
	bool above;    /* the body begins in here */
	bool below;    /* and ends in here */
	bool wanted;   /* the layout has words of this kind */
	bool present;  /* its readers see the unique text already */
	struct text_part *text; /* once read; in the arena */
	/* Where the words go in text, checked to be seen there. */
	size_t above_at;
	size_t below_at;
	bool before_thread;
	const char *closing;
};

struct stationery_words { /* CRLF lines, no blank line round them */
	struct buf above;
	struct buf below;
};

struct stationery_image {
	bool above; /* the words above name it */
	bool below;
	bool placed; /* it stands in the message */
};

struct stationery_job {
	const struct stationery_input *in;
	struct stationery_result *out;
	struct arena *arena;
	struct structure s;
	struct stationery_part *parts;
	struct edits edits;
	struct stationery_words html;
	struct stationery_words text;
	struct stationery_words rich; /* text for RTF */
	struct stationery_image *images;
	bool wrap;           /* signed: goes into an outer multipart as it is */
	int tnef;            /* part; -1: none */
	unsigned boundaries; /* made so far */
	char related[STATIONERY_BOUNDARY]; /* round the part being edited */
	/* What was done. */
	bool any_present;
	bool any_wanted;
	bool did[STATIONERY_KIND_RTF + 1];
	bool did_tnef;
	bool did_part;
};

/* Always -1. */
int stationery_end(struct stationery_job *j, enum stationery_outcome outcome,
                   const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Finds and marks the parts; ends for mail that is never touched. */
int stationery_pick(struct stationery_job *j);
bool stationery_part_is(const struct stationery_job *j, int i, const char *type,
                        const char *subtype);

/* stationery_field.c: MIME fields of part i and their parameters. */
bool stationery_field_find(const struct stationery_job *j, int i,
                           const char *name, struct header_field *f_r);
/* As written, without quotes; also NAME*, NAME*0. */
bool stationery_field_param(const char *msg, const struct header_field *f,
                            const char *name, const char **value_r,
                            size_t *len_r);
/* "Content-Disposition: attachment" */
bool stationery_field_is_detached(const struct stationery_job *j, int i);
/* That, or it has a file's name: something to open by itself. */
bool stationery_field_is_attachment(const struct stationery_job *j, int i);

/* The display name that the From field gives the address, decoded; "" when
 * there is none or it cannot be read. In the arena. */
const char *stationery_name_find(const char *msg, size_t len,
                                 const char *address, struct arena *a);

/* Expands the layout for this sender. */
int stationery_words_make(struct stationery_job *j);
/* "logo.png.<id>@host" */
int stationery_words_content_id(const struct stationery_job *j, size_t image,
                                struct buf *out);

/* Reads the body and looks for the unique text. */
int stationery_seen(struct stationery_job *j);
/* Does a reader of part i see the unique text? */
bool stationery_seen_in(const struct stationery_job *j, int i);
bool stationery_seen_text(const struct stationery_job *j, const struct buf *b);

/* Edits of the body's parts, of winmail.dat; or a part in front of mail that
 * has no text. */
int stationery_edit(struct stationery_job *j);
int stationery_edit_tnef(struct stationery_job *j);
int stationery_edit_add(struct stationery_job *j);

/* A boundary that stands neither in the message nor in the words. */
int stationery_mime_boundary(struct stationery_job *j,
                             char out[STATIONERY_BOUNDARY]);
/* Appends the stationery as a part of its own, without line end behind it. */
int stationery_mime_part(struct stationery_job *j, struct buf *out);
/* Adds the images that are named above, below: to the multipart/related that
 * part i stands in, or round it. before: called before the part's own edits
 * and behind them. Not for a root part. */
int stationery_mime_images(struct stationery_job *j, int i, bool before);
/* The same for a message that is one HTML part, of which *front is the edited
 * whole. */
int stationery_mime_root_images(struct stationery_job *j, struct buf *front);
/* The message as first part of an outer multipart/mixed. */
int stationery_mime_wrap(struct stationery_job *j);

#endif

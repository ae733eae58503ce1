#ifndef SORTIE_DAEMON_DELIVER_PAYLOAD_H
#define SORTIE_DAEMON_DELIVER_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/deliver/render.h"

/*
 * The octets of a message on their way out. Three kinds: in the memory of the
 * envelope; in memory of its own (read back from the store, or converted);
 * or read from the store piece by piece while it is sent. In front of it, and
 * perhaps instead of its first part, goes what payload_head.h makes: stationery
 * and signatures.
 * Reference-counted, on the reactor's thread; what blocks is done by workers.
 */

struct payload;
struct payload_head;
struct envelope;
struct io;
struct reactor;
struct recipient;
struct smtp_status;
struct store;
struct workers;

#define PAYLOAD_WHOLE_MAX (256 * 1024) /* read back in one piece up to here */
#define PAYLOAD_PIECE     (128 * 1024) /* of what is longer */

struct payload *payload_hot(struct envelope *env);
struct payload *payload_streamed(struct envelope *env);
struct payload *payload_ref(struct payload *p);
void payload_unref(struct payload **p);

uint64_t payload_len(const struct payload *p); /* all that goes out */
enum render_form payload_form(const struct payload *p);
bool payload_is_streamed(const struct payload *p);
/* What goes in front; NULL: nothing. */
const struct payload_head *payload_head(const struct payload *p);

/* Must this message be prepared before it can be sent in that form? as: one
 * of its recipients, for the layout and the signatures. */
bool payload_needs_preparing(const struct envelope *env,
                             const struct recipient *as, enum render_form form);

/* Octets of content in memory of their own, all of this reactor's. */
struct payload_budget {
	uint64_t used;
	uint64_t max;
};

/*
 * Reads back, puts the layout round it, converts and signs (by the reactor's
 * snapshot of now) on a worker; then done on the reactor's thread, with the
 * content (the callee's reference) or NULL and the status. as: a recipient of
 * the envelope. The budget is charged from now until the content is freed. Not
 * called after payload_cancel, nor before this returned.
 */
struct payload_job;

struct payload_options {
	struct reactor *reactor;
	struct workers *workers;
	struct store *store;
	struct payload_budget *budget; /* outlives the contents */
};

typedef void (*payload_cb)(void *arg, struct payload *p,
                           const struct smtp_status *status);
struct payload_job *payload_prepare(const struct payload_options *o,
                                    struct envelope *env,
                                    const struct recipient *as,
                                    enum render_form form, payload_cb done,
                                    void *arg);
void payload_cancel(struct payload_job **j);

/* ---- writing -------------------------------------------------------- */

/* How far dot-stuffing is; both true at the begin of a content. */
struct payload_lines {
	bool line_start; /* a dot now must be doubled */
	bool cr;         /* the last octet was CR */
};

void payload_lines_init(struct payload_lines *l);

/* Writes a piece, without copying what is long. stuff: DATA (RFC 5321 section
 * 4.5.2); false: BDAT. Returns the octets given to io. hold is referenced as
 * long as io needs the octets. */
uint64_t payload_write(struct io *io, struct payload *hold, const char *data,
                       size_t len, bool stuff, struct payload_lines *lines);

/* What goes in front of a content that is streamed. */
uint64_t payload_write_head(struct io *io, struct payload *p, bool stuff,
                            struct payload_lines *lines);

/* The whole of a content that is not streamed. For DATA with the final dot,
 * after a line end when the content has none. */
uint64_t payload_write_all(struct io *io, struct payload *p, bool stuff);

/* The end of DATA: [CRLF] "." CRLF. */
uint64_t payload_write_dot(struct io *io, const struct payload_lines *lines);

/* ---- streaming ------------------------------------------------------ */

/* Reads one piece after the other; the owner asks for the next when it has
 * sent the last. got: data is NULL when reading failed, *e says why; len may
 * be 0. */
struct payload_stream;
typedef void (*payload_piece_cb)(void *arg, const char *data, size_t len,
                                 const struct err *e);
struct payload_stream *payload_stream_new(const struct payload_options *o,
                                          struct payload *p,
                                          payload_piece_cb got, void *arg);
/* The piece must be with the kernel, or be given up. */
void payload_stream_next(struct payload_stream *s);
bool payload_stream_at_end(const struct payload_stream *s);
void payload_stream_free(struct payload_stream **s);

#endif

/*
 * The content decoder. Lines are found with memchr and copied in runs as long
 * as no stuffed dot interrupts them; 8-bit octets are looked for in words. It
 * refuses to see a line end, and so an end of data, in anything but CRLF.
 */
#include "daemon/receive/decoder.h"

#include <string.h>

#define LINE_MAX_OCTETS 998 /* RFC 5322 section 2.1.1, without CRLF */

struct run {           /* one call of decoder_feed */
	const char *p; /* next octet to look at */
	const char *end;
	const char *copy; /* first octet that is not copied yet */
	const char *scan; /* first octet not searched for 8-bit */
	char *out;
	size_t out_len;
};

void
decoder_init(struct decoder *d, bool chunked)
{
	*d = (struct decoder){ 0 };
	d->chunked = chunked;
}

static bool
has_8bit(const char *p, const char *end)
{
	uint64_t word;
	uint64_t all = 0;

	while (end - p >= 32) {
		uint64_t w[4];

		memcpy(w, p, sizeof(w));
		all |= w[0] | w[1] | w[2] | w[3];
		p += 32;
	}
	while (end - p >= 8) {
		memcpy(&word, p, sizeof(word));
		all |= word;
		p += 8;
	}
	while (p < end) {
		all |= (uint64_t)(unsigned char)*p++;
	}
	return (all & UINT64_C(0x8080808080808080)) != 0;
}

static void
scan_8bit(struct decoder *d, struct run *r)
{
	unsigned note = d->in_body ? DECODER_8BIT_BODY : DECODER_8BIT_HEADER;

	if ((d->notes & note) == 0 && has_8bit(r->scan, r->p)) {
		d->notes |= note;
	}
	r->scan = r->p;
}

static void
put(struct decoder *d, struct run *r, const char *data, size_t len)
{
	if (len == 0) {
		return;
	}
	if (r->out != NULL) {
		memcpy(r->out + r->out_len, data, len);
	}
	r->out_len += len;
	d->size += len;
}

/* Copies what was looked at and not copied yet. */
static void
flush(struct decoder *d, struct run *r)
{
	put(d, r, r->copy, (size_t)(r->p - r->copy));
	r->copy = r->p;
}

/* Behind the CRLF of a line of line_len octets, CR and LF included. */
static void
end_line(struct decoder *d, struct run *r)
{
	uint64_t len = d->line_len - 2;

	if (len > LINE_MAX_OCTETS) {
		d->notes |= DECODER_LONG_LINES;
	}
	if (len == 0 && !d->in_body) {
		scan_8bit(d, r);
		flush(d, r);
		d->in_body = true;
		d->body_at = d->size;
	}
	d->line_len = 0;
	d->state = DECODER_LINE_START;
}

static void
on_line_start(struct decoder *d, struct run *r)
{
	if (*r->p != '.') {
		d->state = DECODER_TEXT;
		return;
	}
	if (d->chunked) {
		d->notes |= DECODER_DOTS;
		d->state = DECODER_TEXT;
		return;
	}
	/* The dot is not content until something but CRLF follows; even then
	 * it is dropped. */
	flush(d, r);
	r->p++;
	r->copy = r->p;
	d->state = DECODER_DOT;
}

static void
on_dot(struct decoder *d, struct run *r)
{
	if (*r->p == '\r') {
		r->p++;
		r->copy = r->p;
		d->state = DECODER_DOT_CR;
		return;
	}
	if (*r->p == '.') {
		d->notes |= DECODER_DOTS;
	}
	d->state = DECODER_TEXT;
}

static void
on_dot_cr(struct decoder *d, struct run *r)
{
	if (*r->p == '\n') {
		r->p++;
		r->copy = r->p;
		d->state = DECODER_DONE;
		return;
	}
	/* The CR held back is bare. */
	put(d, r, "\r", 1);
	d->line_len++;
	d->notes |= DECODER_BARE_CR;
	d->state = DECODER_TEXT;
}

static void
on_cr(struct decoder *d, struct run *r)
{
	if (*r->p != '\n') {
		d->notes |= DECODER_BARE_CR;
		d->state = DECODER_TEXT;
		return;
	}
	r->p++;
	d->line_len++;
	end_line(d, r);
}

/* Up to and including the next CR, or to the end. */
static void
on_text(struct decoder *d, struct run *r)
{
	size_t left = (size_t)(r->end - r->p);
	const char *cr = memchr(r->p, '\r', left);
	size_t len = cr == NULL ? left : (size_t)(cr - r->p);

	if ((d->notes & DECODER_BARE_LF) == 0 && len > 0 &&
	    memchr(r->p, '\n', len) != NULL) {
		d->notes |= DECODER_BARE_LF;
	}
	if (cr == NULL) {
		r->p = r->end;
		d->line_len += left;
		return;
	}
	r->p = cr + 1;
	d->line_len += len + 1;
	d->state = DECODER_CR;
}

size_t
decoder_feed(struct decoder *d, const char *in, size_t len, char *out,
             size_t *out_len_r)
{
	struct run r = { in, in + len, in, in, NULL, 0 };

	r.out = out;
	while (r.p < r.end && d->state != DECODER_DONE) {
		switch (d->state) {
		case DECODER_LINE_START:
			on_line_start(d, &r);
			break;
		case DECODER_DOT:
			on_dot(d, &r);
			break;
		case DECODER_DOT_CR:
			on_dot_cr(d, &r);
			break;
		case DECODER_TEXT:
			on_text(d, &r);
			break;
		case DECODER_CR:
			on_cr(d, &r);
			break;
		case DECODER_DONE:
			break;
		}
	}
	scan_8bit(d, &r);
	flush(d, &r);
	if ((d->notes & DECODER_NUL) == 0 &&
	    memchr(in, '\0', (size_t)(r.p - in)) != NULL) {
		d->notes |= DECODER_NUL;
	}
	if (d->line_len > LINE_MAX_OCTETS + 2) {
		d->notes |= DECODER_LONG_LINES;
	}
	*out_len_r = r.out_len;
	return (size_t)(r.p - in);
}

size_t
decoder_finish(struct decoder *d, char *out)
{
	size_t n = 0;

	if (d->state == DECODER_CR) {
		d->notes |= DECODER_BARE_CR;
	}
	if (d->state == DECODER_TEXT && d->line_len > LINE_MAX_OCTETS) {
		d->notes |= DECODER_LONG_LINES;
	}
	if (d->state == DECODER_TEXT || d->state == DECODER_CR) {
		if (out != NULL) {
			memcpy(out, "\r\n", 2);
		}
		n = 2;
	}
	d->size += n;
	d->state = DECODER_DONE;
	return n;
}

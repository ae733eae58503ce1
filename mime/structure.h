#ifndef SORTIE_MIME_STRUCTURE_H
#define SORTIE_MIME_STRUCTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "mime/field.h"

/*
 * The parts of a message as byte ranges (RFC 2045, RFC 2046), for editing some
 * of them and leaving every other octet alone. One pass, linear in time; the
 * text is only looked at and must outlive the result. Parts stand in an array
 * in the order of the text: a part before its children. Pure.
 *
 * Real readers differ on broken MIME. What two of them may take differently
 * makes the whole structure `ambiguous`, with a reason (checklist B39): a
 * multipart without final or any boundary, a boundary line behind the final
 * one, a line that only begins with a boundary, equal or prefixing boundaries
 * of nested multiparts, repeated MIME fields, a type or boundary that cannot
 * be read, an encoded multipart, header lines without colon, blank or with
 * blanks before the colon of a MIME field. The ranges still cover the text,
 * under one reading.
 */

#define STRUCTURE_DEPTH_MAX 100
#define STRUCTURE_PARTS_MAX 10000

enum structure_flag {
	STRUCTURE_ROOT = 1,      /* a message: the text, or within rfc822 */
	STRUCTURE_MULTIPART = 2, /* walked; its children follow */
	STRUCTURE_MESSAGE = 4, /* message/rfc822 or global: one child, a root */
	STRUCTURE_SIGNED = 8,  /* multipart/signed, or anywhere within one */
	STRUCTURE_ENCRYPTED = 16,  /* multipart/encrypted, or within one */
	STRUCTURE_PKCS7 = 32,      /* application/(x-)pkcs7-mime */
	STRUCTURE_TYPED = 64,      /* has a Content-Type field */
	STRUCTURE_VERSIONED = 128, /* has a MIME-Version field */
	STRUCTURE_DIGEST = 256,    /* multipart/digest */
};

struct structure_part {
	size_t header;     /* first octet of the header */
	size_t header_end; /* behind the last field, at the empty line */
	size_t body;       /* behind the empty line */
	size_t body_end;   /* without the line end before a boundary */
	const char *type;  /* lower case, the default when not given */
	const char *subtype;
	const char *charset;       /* lower case, NULL: none */
	const char *boundary;      /* of a multipart, NULL: none usable */
	size_t encoding_field;     /* range of Content-Transfer-Encoding, */
	size_t encoding_field_end; /* line end included; 0, 0: none */
	enum field_encoding encoding;
	unsigned flags;
	unsigned depth; /* 0 for the message itself */
	int parent;     /* -1 for the message itself */
};

struct structure {
	struct structure_part *parts;
	size_t n;
	size_t cap;
	bool ambiguous;
	const char *why; /* static text, when ambiguous */
	struct arena *arena;
};

/* 0, or -1 with ERR_LIMIT when the message is too complex. The caller clears
 * *out_r after success. Memory: 160 octets a part and its parameters. */
int structure_parse(const char *msg, size_t len, struct structure *out_r,
                    struct err *e) __attribute__((warn_unused_result));

void structure_clear(struct structure *s);

static inline bool
structure_is_leaf(const struct structure_part *p)
{
	return (p->flags & (STRUCTURE_MULTIPART | STRUCTURE_MESSAGE)) == 0;
}

#endif

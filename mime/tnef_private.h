#ifndef SORTIE_MIME_TNEF_PRIVATE_H
#define SORTIE_MIME_TNEF_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "mime/rtf.h"

/* What the files of TNEF share. Numbers are little-endian. */

static inline uint16_t
tnef_u16(const void *data)
{
	const unsigned char *p = data;

	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
tnef_u32(const void *data)
{
	const unsigned char *p = data;

	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline void
tnef_put_u32(unsigned char *p, uint32_t n)
{
	for (unsigned i = 0; i < 4; i++) {
		p[i] = (unsigned char)(n >> 8 * i);
	}
}

enum tnef_type {
	TNEF_UNSPECIFIED = 0,
	TNEF_STRING8 = 0x1e,
	TNEF_UNICODE = 0x1f,
	TNEF_BINARY = 0x102,
};

enum tnef_id {
	TNEF_MESSAGE_CLASS = 0x001a,
	TNEF_BODY = 0x1000,
	TNEF_RTF = 0x1009,
	TNEF_HTML = 0x1013,
	TNEF_INTERNET_CODEPAGE = 0x3fde,
};

/* One property of a list as it stands in attMsgProps. */
struct tnef_property {
	unsigned type;
	unsigned id;
	size_t start; /* of the property in the list */
	size_t end;   /* with its padding */
	bool single;  /* has one value of variable length: */
	size_t value; /* where that begins */
	size_t value_len;
};

struct tnef_properties {
	const char *data; /* borrowed */
	size_t len;
	uint32_t n;
	uint32_t i; /* properties that were read */
	size_t pos;
};

/* -1: no list at all. */
int tnef_properties_begin(struct tnef_properties *l, const char *data,
                          size_t len, struct err *e)
	__attribute__((warn_unused_result));

/* 1 with the next property, 0 at the end of a list that was right, -1. */
int tnef_properties_next(struct tnef_properties *l, struct tnef_property *p,
                         struct err *e) __attribute__((warn_unused_result));

/* A body and how its text is encoded. */
struct tnef_body {
	unsigned id;   /* TNEF_BODY, TNEF_RTF, TNEF_HTML */
	unsigned type; /* TNEF_STRING8, ...; may become TNEF_UNICODE */
	unsigned codepage;
	const char *data;
	size_t len;
};

/* Appends the body's octets with the stationery; *type_r: their type. */
int tnef_body_edit(const struct tnef_body *b, const struct rtf_insert *in,
                   struct buf *out, unsigned *type_r, struct err *e)
	__attribute__((warn_unused_result));

/* Appends what is seen of it. */
int tnef_body_text(const struct tnef_body *b, struct buf *out, struct err *e)
	__attribute__((warn_unused_result));

#endif

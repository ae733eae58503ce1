#ifndef SORTIE_MIME_FOLD_TABLE_H
#define SORTIE_MIME_FOLD_TABLE_H

#include <stdint.h>

/* The tables of mime/fold, internal to it. */

enum {
	FOLD_BREAK = 1,     /* a line end, or no ASCII */
	FOLD_MANY = 0xe000, /* and up: fold_many of the rest */
	FOLD_MANY_MAX = 9,  /* octets */
};

struct fold_range {
	uint16_t first;
	uint16_t last;
	uint16_t at; /* in fold_value */
};

/* What an octet becomes; 0: nothing. */
extern const unsigned char fold_ascii[256];

extern const struct fold_range fold_ranges[4];
extern const uint16_t fold_value[1911]; /* 0: nothing */
extern const char *const fold_many[41];

#endif

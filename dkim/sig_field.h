#ifndef SORTIE_DKIM_SIG_FIELD_H
#define SORTIE_DKIM_SIG_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dkim/key.h"
#include "dkim/tag_list.h"
#include "dkim/verifier.h"

/*
 * A DKIM-Signature field (RFC 6376 section 3.5). libopendkim reads the field
 * itself, and more generously: names of tags in either case, the last of two,
 * blanks within a domain. What it would read otherwise than we do is not
 * given to it. Pure; any octets are safe.
 */

#define SIG_FIELD_MAX    16384 /* octets of a field; more are not looked at */
#define SIG_NAMES_MAX    256   /* names in h= */
#define SIG_NAMES_OCTETS 4000  /* the library cuts h= at 4095 */

struct sig_field {
	struct dkim_verdict verdict; /* result NONE: can be verified */
	enum dkim_algorithm algorithm;
	char key_name[256];  /* "" unless it can be verified */
	bool identity_below; /* i= is of a subdomain of d= */
	bool relaxed_body;
	bool limited; /* there is l= */
	uint64_t limit;
	struct tag names; /* h=; points into the field */
	bool trap; /* the library must not see the field: see sig_field.c */
};

/* value: what stands behind the colon. */
void sig_field_parse(const char *value, size_t len, struct sig_field *out);

#endif

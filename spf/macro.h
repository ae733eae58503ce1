#ifndef SORTIE_SPF_MACRO_H
#define SORTIE_SPF_MACRO_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Macro expansion (RFC 7208 section 7). Pure; the time is linear in the
 * domain-spec, the space fixed, whatever the values are.
 */

#define SPF_NAME_MAX 253 /* octets of a name without its last dot */

struct spf_macro_values {
	const char *sender; /* s */
	const char *local;  /* l */
	size_t local_len;
	const char *sender_domain; /* o */
	const char *domain;        /* d: whose record it is */
	const char *client;        /* i: "192.0.2.1", nibbles with dots */
	const char *validated;     /* p; NULL when the domain-spec has none */
	const char *version;       /* v: "in-addr", "ip6" */
	const char *helo;          /* h */
};

/* Is the macro p there? Its value costs questions. */
bool spf_macro_validated(const char *spec, size_t len);

/* Expands a domain-spec that the grammar has passed. Labels on the left go
 * until SPF_NAME_MAX octets are left; a last dot goes. "" when that is not
 * possible. */
void spf_macro_expand(const struct spf_macro_values *v, const char *spec,
                      size_t len, char out[SPF_NAME_MAX + 1]);

#endif

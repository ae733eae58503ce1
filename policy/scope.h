#ifndef SORTIE_POLICY_SCOPE_H
#define SORTIE_POLICY_SCOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "conf/conf.h"

/*
 * Scopes of policies: how specific they are, and whether an address is in one.
 * Pure.
 */

/* Longest key of an address, with its NUL. */
#define SCOPE_KEY_MAX (ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1)

/* An address as scopes see it. */
struct scope_party {
	/* "local@domain" folded for comparison; "" for the null sender and for
	 * what is no address (which is in no scope but everyone). */
	char key[SCOPE_KEY_MAX];
	const char *domain; /* within key; "" as above */
	bool internal;
	bool external;
};

/* text without brackets; "" is the null sender. */
void scope_party_set(const struct conf *c, const char *text, bool null_internal,
                     struct scope_party *out);

/* "local@domain" as addresses are compared: domain normalised, quotes only
 * where they are needed, ASCII letters of the local part folded when asked.
 * Returns the domain within out; NULL for what is no address, out is untouched
 * then. */
const char *scope_key(const char *text, bool fold_local,
                      char out[SCOPE_KEY_MAX]);

/* Folds the local part of an address of the configuration in the same way. */
void scope_address_key(const char *text, char out[SCOPE_KEY_MAX]);

/* Higher is more specific; two scopes may be equally specific. */
uint16_t scope_rank(const struct conf_scope *s);

bool scope_holds(const struct conf *c, const struct conf_scope *s,
                 const struct scope_party *p);

#endif

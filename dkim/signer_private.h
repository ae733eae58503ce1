#ifndef SORTIE_DKIM_SIGNER_PRIVATE_H
#define SORTIE_DKIM_SIGNER_PRIVATE_H

#include "dkim/key.h"
#include "dkim/signer.h"

/* As dkim_keyring_new, with keys that are there already: keys[i] instead of
 * the file of d[i]. Takes references of its own. For the self-test. */
struct dkim_keyring *dkim_keyring_of_keys(const struct dkim_definition *d,
                                          struct dkim_key *const *keys,
                                          size_t n, struct err *e);

#endif

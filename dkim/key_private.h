#ifndef SORTIE_DKIM_KEY_PRIVATE_H
#define SORTIE_DKIM_KEY_PRIVATE_H

#include <openssl/types.h>

#include "dkim/key.h"

/* For the files of this folder only. Borrowed; as long as k. */
EVP_PKEY *dkim_key_evp(const struct dkim_key *k);

#endif

#ifndef SORTIE_DKIM_RECORD_PRIVATE_H
#define SORTIE_DKIM_RECORD_PRIVATE_H

#include <openssl/types.h>

#include "dkim/record.h"

/* For the files of this folder only. */

/* As dkim_record_parse; *key_r is the caller's, NULL when there is none. */
enum dkim_record_verdict dkim_record_key(const char *txt, size_t len,
                                         struct dkim_record *out,
                                         EVP_PKEY **key_r);

/* As dkim_record_of, but as a verifier that is willing: of several records
 * it takes the one that is a key record, if only one is. */
enum dkim_record_verdict dkim_record_choose(const struct dns_answer *a,
                                            struct dkim_record *out,
                                            EVP_PKEY **key_r);

#endif

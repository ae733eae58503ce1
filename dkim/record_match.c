#include <openssl/types.h>
#include <string.h>

#include "dkim/key_private.h"
#include "dkim/record.h"
#include "dkim/record_private.h"

/* Published and private keys compared. */

bool
dkim_record_matches(const struct dkim_record *r, const struct dkim_key *k)
{
	uint8_t digest[32];

	switch (r->verdict) {
	case DKIM_RECORD_GOOD:
	case DKIM_RECORD_WEAK:
		break;
	case DKIM_RECORD_NONE:
	case DKIM_RECORD_SEVERAL:
	case DKIM_RECORD_SYNTAX:
	case DKIM_RECORD_REVOKED:
	case DKIM_RECORD_UNUSABLE:
	case DKIM_RECORD_UNKNOWN:
		return false;
	}
	return r->algorithm == dkim_key_algorithm(k) &&
	       dkim_record_digest(dkim_key_evp(k), digest) &&
	       memcmp(digest, r->digest, sizeof(digest)) == 0;
}

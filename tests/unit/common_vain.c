/*
 * A filter above the socket of a TLS connection that counts the writes that
 * the socket did not take: how often somebody tried in vain.
 */
#include "tests/unit/common_vain.h"

#include <openssl/bio.h>

unsigned common_vain_writes;

static int
filter_write(BIO *b, const char *data, int len)
{
	int r = BIO_write(BIO_next(b), data, len);

	BIO_clear_retry_flags(b);
	BIO_copy_next_retry(b);
	common_vain_writes += r <= 0;
	return r;
}

static long
filter_ctrl(BIO *b, int cmd, long larg, void *parg)
{
	return BIO_ctrl(BIO_next(b), cmd, larg, parg);
}

void
common_vain_count(SSL *ssl)
{
	static BIO_METHOD *m;
	BIO *below = SSL_get_wbio(ssl);

	if (m == NULL) {
		m = BIO_meth_new(BIO_TYPE_FILTER, "counter");
		BIO_meth_set_write(m, filter_write);
		BIO_meth_set_ctrl(m, filter_ctrl);
	}
	BIO_up_ref(below); /* it stays the one that is read from */
	BIO *filter = BIO_new(m);
	BIO_set_init(filter, 1);
	SSL_set0_wbio(ssl, BIO_push(filter, below));
}

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "conf/load_private.h"

/*
 * A resource record as resolver.local_data takes it, in the form of a zone
 * file (RFC 1035 section 5.1):
 *
 *   NAME [TTL] ["IN"] TYPE RDATA
 *
 * The data of A, AAAA, CNAME, MX, NS and PTR are judged; of other types only
 * that there are some. Relative names do not exist here: the final dot may be
 * left out.
 */

#define RECORD_MAX 4096
#define TOKEN_MAX  256

static int
next_token(const char **p, char *out, struct err *e)
{
	size_t len = 0;

	*p += strspn(*p, " \t");
	len = strcspn(*p, " \t");
	if (len == 0) {
		return err_set(e, ERR_INVALID,
		               "is cut short; write \"NAME TTL IN TYPE DATA\"");
	}
	if (len >= TOKEN_MAX) {
		return err_set(e, ERR_INVALID, "has too long a field");
	}
	memcpy(out, *p, len);
	out[len] = '\0';
	*p += len;
	return 0;
}

static int
check_name(const char *name, struct err *e)
{
	char out[ADDRESS_DOMAIN_MAX + 1];

	if (strcmp(name, ".") == 0) {
		return 0;
	}
	if (address_domain_normalise(name, strlen(name), out, e) != 0) {
		return err_wrap(e, "name \"%.60s\"", name);
	}
	return 0;
}

static bool
is_number(const char *s)
{
	return *s != '\0' && strspn(s, "0123456789") == strlen(s) &&
	       strlen(s) <= 10;
}

static int
check_address(const char *text, int family, struct err *e)
{
	unsigned char out[16];

	if (inet_pton(family, text, out) != 1) {
		return err_set(e, ERR_INVALID, "\"%.60s\" is no %s address",
		               text, family == AF_INET ? "IPv4" : "IPv6");
	}
	return 0;
}

static int
check_end(const char *p, struct err *e)
{
	p += strspn(p, " \t");
	if (*p != '\0') {
		return err_set(e, ERR_INVALID, "has more data than its type");
	}
	return 0;
}

static int
check_data(const char *type, const char *p, struct err *e)
{
	char token[TOKEN_MAX] = "";
	bool is_mx = strcasecmp(type, "MX") == 0;
	int rc = 0;

	if (next_token(&p, token, e) != 0) {
		return -1;
	}
	if (is_mx) {
		if (!is_number(token)) {
			return err_set(e, ERR_INVALID,
			               "the preference of MX is no number");
		}
		if (next_token(&p, token, e) != 0) {
			return -1;
		}
	}
	if (strcasecmp(type, "A") == 0) {
		rc = check_address(token, AF_INET, e);
	} else if (strcasecmp(type, "AAAA") == 0) {
		rc = check_address(token, AF_INET6, e);
	} else if (is_mx || strcasecmp(type, "CNAME") == 0 ||
	           strcasecmp(type, "NS") == 0 ||
	           strcasecmp(type, "PTR") == 0) {
		rc = check_name(token, e);
	} else {
		return 0;
	}
	return rc != 0 ? rc : check_end(p, e);
}

int
load_check_record(const char *text, struct err *e)
{
	char token[TOKEN_MAX] = "";
	const char *p = text;

	if (strlen(text) > RECORD_MAX) {
		return err_set(e, ERR_INVALID, "is too long");
	}
	for (const char *c = text; *c != '\0'; c++) {
		if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) {
			return err_set(e, ERR_INVALID,
			               "has a control character in it");
		}
	}
	if (next_token(&p, token, e) != 0 || check_name(token, e) != 0 ||
	    next_token(&p, token, e) != 0) {
		return -1;
	}
	if (is_number(token) && next_token(&p, token, e) != 0) {
		return -1;
	}
	if (strcasecmp(token, "IN") == 0 && next_token(&p, token, e) != 0) {
		return -1;
	}
	for (const char *c = token; *c != '\0'; c++) {
		bool letter =
			(*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z');
		if (!letter && (c == token || *c < '0' || *c > '9')) {
			return err_set(e, ERR_INVALID,
			               "\"%.60s\" is no record type", token);
		}
	}
	return check_data(token, p, e);
}

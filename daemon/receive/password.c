/*
 * Passwords against crypt(3) hashes. The file is read at each check, so that
 * a changed password counts at once. Secrets are wiped before memory is given
 * back and are in no message.
 */
#include "daemon/receive/password.h"

#include <crypt.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LINE_MAX_OCTETS 1024

static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z') {
		return c - 'A';
	}
	if (c >= 'a' && c <= 'z') {
		return c - 'a' + 26;
	}
	if (c >= '0' && c <= '9') {
		return c - '0' + 52;
	}
	if (c == '+') {
		return 62;
	}
	return c == '/' ? 63 : -1;
}

int
password_decode(const char *s, size_t len, char *out, size_t size,
                size_t *len_r)
{
	size_t pad = 0;
	size_t n = 0;

	if (len % 4 != 0) {
		return -1;
	}
	while (pad < 2 && pad < len && s[len - 1 - pad] == '=') {
		pad++;
	}
	if (len / 4 * 3 - pad > size) {
		return -1;
	}
	for (size_t i = 0; i < len; i += 4) {
		bool last = i + 4 == len;
		size_t digits = last ? 4 - pad : 4;
		uint32_t bits = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k < digits ? digit(s[i + k]) : 0;

			if (d == -1) {
				return -1;
			}
			bits = bits << 6 | (uint32_t)d;
		}
		/* Bits behind the last octet are zero (RFC 4648 3.5). */
		if (digits < 4 &&
		    (bits & (digits == 3 ? 0xffU : 0xffffU)) != 0) {
			return -1;
		}
		for (size_t k = 0; k + 1 < digits; k++) {
			out[n++] = (char)(bits >> (16 - 8 * k) & 0xff);
		}
	}
	*len_r = n;
	return 0;
}

int
password_parse_plain(const char *data, size_t len, struct password *out)
{
	const char *first = memchr(data, '\0', len);
	const char *second;
	size_t authzid;
	size_t user;
	size_t secret;

	if (first == NULL) {
		return -1;
	}
	authzid = (size_t)(first - data);
	second = memchr(first + 1, '\0', len - authzid - 1);
	if (second == NULL) {
		return -1;
	}
	user = (size_t)(second - first - 1);
	secret = len - authzid - user - 2;
	if (user == 0 || user > PASSWORD_USER_MAX || secret == 0 ||
	    secret > PASSWORD_SECRET_MAX ||
	    memchr(second + 1, '\0', secret) != NULL) {
		return -1;
	}
	if (authzid != 0 &&
	    (authzid != user || memcmp(data, first + 1, user) != 0)) {
		return -1;
	}
	memcpy(out->user, first + 1, user);
	out->user[user] = '\0';
	memcpy(out->secret, second + 1, secret);
	out->secret[secret] = '\0';
	return 0;
}

/* The hash of the user into out; with found false that of anybody, so that
 * the same work is done. -1 when the file holds no user at all. */
static int
find_hash(FILE *f, const char *user, char out[LINE_MAX_OCTETS], bool *found_r)
{
	char line[LINE_MAX_OCTETS];
	bool any = false;

	*found_r = false;
	while (!*found_r && fgets(line, sizeof(line), f) != NULL) {
		char *colon = strchr(line, ':');

		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '#' || colon == NULL || colon[1] == '\0') {
			continue;
		}
		*colon = '\0';
		*found_r = strcmp(line, user) == 0;
		if (*found_r || !any) {
			memcpy(out, colon + 1, strlen(colon + 1) + 1);
			any = true;
		}
	}
	explicit_bzero(line, sizeof(line));
	return any ? 0 : -1;
}

/* Takes as long wherever the difference is. */
static bool
same_text(const char *a, const char *b)
{
	size_t len = strlen(a);
	unsigned diff = 0;

	if (strlen(b) != len) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		diff |= (unsigned)((unsigned char)a[i] ^ (unsigned char)b[i]);
	}
	return diff == 0;
}

int
password_check(const char *file, const struct password *p, bool *match_r,
               struct err *e)
{
	FILE *f = fopen(file, "re");
	char hash[LINE_MAX_OCTETS];
	struct crypt_data *data;
	bool found = false;
	const char *result;
	int r;

	if (f == NULL) {
		return err_sys(e, errno, "open %s", file);
	}
	r = find_hash(f, p->user, hash, &found);
	(void)fclose(f); /* it was only read */
	if (r == -1) {
		return err_set(e, ERR_INVALID, "%s: no user in it", file);
	}
	data = mem_alloc(sizeof(*data));
	result = crypt_r(p->secret, hash, data);
	/* crypt_r's failure token begins with "*", no hash of ours does. */
	*match_r = found && result != NULL && result[0] != '*' &&
	           hash[0] != '*' && same_text(result, hash);
	explicit_bzero(data, sizeof(*data));
	free(data);
	explicit_bzero(hash, sizeof(hash));
	return 0;
}

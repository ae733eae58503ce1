#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/hex.h"
#include "conf/load_private.h"

/*
 * What is special to policies about TLS: lists, files, and combinations of
 * which a part would have no effect. Nothing is ignored in silence: a setting
 * that nobody would look at is an error where it promises security.
 */

#define FINGERPRINT_LEN  64
#define FINGERPRINTS_MAX 100 /* all stand in what is stored of a recipient */

static bool
is_word(const char *text, const char *word)
{
	return text != NULL && strcmp(text, word) == 0;
}

/* ---- honour --------------------------------------------------------- */

static void
load_honour(struct loader *l, const config_setting_t *item,
            struct conf_policy *p)
{
	const config_setting_t *list = load_member(item, "honour");
	size_t n = load_list_n(list);

	p->honour_dane = list == NULL;
	p->honour_mta_sts = list == NULL;
	for (size_t i = 0; i < n; i++) {
		const char *word = load_list_text(list, i);

		if (is_word(word, "dane")) {
			p->honour_dane = true;
		} else if (is_word(word, "mta_sts")) {
			p->honour_mta_sts = true;
		} else if (word != NULL) {
			load_error(l, load_list_at(list, i),
			           "honour: %s is unknown; write \"dane\", "
			           "\"mta_sts\", both or none",
			           load_quote(l, word));
		}
	}
}

/* ---- fingerprints --------------------------------------------------- */

/* Octets in digits of either case, with a colon between each two or with none
 * at all, "sha256:" before them or not. NULL: anything else. */
static const char *
fingerprint(struct loader *l, const char *text)
{
	char *out = arena_alloc(l->c->arena, FINGERPRINT_LEN + 1);
	bool colons = false;

	if (strncmp(text, "sha256:", 7) == 0) {
		text += 7;
	}
	for (size_t n = 0; n < FINGERPRINT_LEN; n++) {
		if (n == 2) {
			colons = *text == ':';
		}
		if (n > 0 && n % 2 == 0 && colons && *text++ != ':') {
			return NULL;
		}
		if (hex_value(*text) < 0) {
			return NULL;
		}
		out[n] = "0123456789abcdef"[hex_value(*text++)];
	}
	out[FINGERPRINT_LEN] = '\0';
	return *text == '\0' ? out : NULL;
}

static void
load_fingerprints(struct loader *l, const config_setting_t *item,
                  struct conf_policy *p)
{
	const config_setting_t *list = load_member(item, "fingerprints");
	size_t n = load_list_n(list);

	if (n == 0) {
		return;
	}
	if (n > FINGERPRINTS_MAX) {
		load_error(l, list, "fingerprints: more than %d entries",
		           FINGERPRINTS_MAX);
		return;
	}
	p->fingerprints =
		arena_alloc(l->c->arena, n * sizeof(*p->fingerprints));
	for (size_t i = 0; i < n; i++) {
		const char *text = load_list_text(list, i);
		const char *found = text == NULL ? NULL : fingerprint(l, text);

		if (found != NULL) {
			p->fingerprints[p->fingerprints_n++] = found;
		} else if (text != NULL) {
			load_error(l, load_list_at(list, i),
			           "fingerprints: %s is no SHA-256 of a "
			           "certificate; get it with openssl x509 "
			           "-noout -fingerprint -sha256 -in FILE",
			           load_quote(l, text));
		}
	}
}

/* ---- secure_delivery ------------------------------------------------ */

/* A setting of the item that would have no effect. */
static void
refuse_idle(struct loader *l, const config_setting_t *item, const char *name,
            const char *why)
{
	const config_setting_t *s = load_member(item, name);

	if (s != NULL) {
		load_error(l, s, "%s has no effect %s; remove it", name, why);
	}
}

static void
check_sense(struct loader *l, const config_setting_t *item,
            const struct conf_policy *p)
{
	static const char *const of_tls[] = {
		"encryption_mode", "ssl_mode",    "untrusted", "ca_file",
		"fingerprints",    "certificate", "key"
	};

	if (is_word(p->option, "no_tls")) {
		for (size_t i = 0; i < sizeof(of_tls) / sizeof(*of_tls); i++) {
			refuse_idle(l, item, of_tls[i],
			            "with option = \"no_tls\"");
		}
		return;
	}
	if (is_word(p->encryption_mode, "relaxed")) {
		refuse_idle(l, item, "ca_file",
		            "with encryption_mode = \"relaxed\"");
		refuse_idle(l, item, "fingerprints",
		            "with encryption_mode = \"relaxed\"");
		refuse_idle(l, item, "untrusted",
		            "with encryption_mode = \"relaxed\"");
	}
	if (is_word(p->option, "enforced_tls")) {
		refuse_idle(l, item, "untrusted",
		            "with option = \"enforced_tls\"");
	}
	if (load_member(item, "ca_file") != NULL &&
	    load_member(item, "fingerprints") != NULL) {
		load_error(l, load_member(item, "fingerprints"),
		           "fingerprints and ca_file exclude each other: a "
		           "fingerprint is all the trust there is");
	}
}

void
load_secure_delivery(struct loader *l, const config_setting_t *item,
                     struct conf_policy *p)
{
	const config_setting_t *certificate = load_member(item, "certificate");
	const config_setting_t *key = load_member(item, "key");

	load_honour(l, item, p);
	load_fingerprints(l, item, p);
	check_sense(l, item, p);
	if (p->ca_file != NULL) {
		load_check_ca_file(l, load_member(item, "ca_file"), p->ca_file);
	}
	if (certificate != NULL && key == NULL) {
		load_error(l, certificate, "certificate is given without key");
	} else if (certificate == NULL && key != NULL) {
		load_error(l, key, "key is given without certificate");
	} else if (p->certificate != NULL && p->key != NULL) {
		load_check_identity(l, certificate, key, p->certificate,
		                    p->key);
	}
}

/* ---- secure_receipt ------------------------------------------------- */

void
load_secure_receipt(struct loader *l, const config_setting_t *item,
                    const struct conf_policy *p)
{
	static const char *const demands[] = { "encryption_mode", "ssl_mode",
		                               "tls_version",
		                               "client_certificate" };

	if (is_word(p->option, "enforced_tls")) {
		if (l->c->gateway.certificate == NULL) {
			load_error(l, item,
			           "policies.secure_receipt: enforced_tls "
			           "needs gateway.certificate: nobody could "
			           "send");
		}
		if (!is_word(p->client_certificate, "required")) {
			refuse_idle(l, item, "encryption_mode",
			            "without client_certificate = "
			            "\"required\"");
		}
		return;
	}
	for (size_t i = 0; i < sizeof(demands) / sizeof(*demands); i++) {
		/* The plan's default policy names the mode. */
		if (i == 0 &&
		    is_word(p->option, "secure_smtp_where_possible")) {
			continue;
		}
		if (strcmp(demands[i], "ssl_mode") == 0 &&
		    is_word(p->ssl_mode, "default")) {
			continue;
		}
		refuse_idle(l, item, demands[i],
		            "without option = \"enforced_tls\"");
	}
}

#ifndef SORTIE_DAEMON_RECEIVE_COMMAND_H
#define SORTIE_DAEMON_RECEIVE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

/*
 * Command lines of SMTP and their parameters (RFC 5321 section 4.1, RFC 1870,
 * 3030, 3461, 4954, 6152, 6531, 8689). Pure: text in, values or a fault out. A
 * line is given without its CRLF; it may hold any octets.
 */

#define COMMAND_LINE_MAX 4096  /* without CRLF; 512 plus extension growth */
#define COMMAND_AUTH_MAX 12288 /* RFC 4954 section 4 */
#define COMMAND_NAME_MAX 255   /* EHLO's argument */

enum command_verb {
	COMMAND_UNKNOWN = 0,
	COMMAND_EHLO,
	COMMAND_HELO,
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_DATA,
	COMMAND_BDAT,
	COMMAND_RSET,
	COMMAND_NOOP,
	COMMAND_VRFY,
	COMMAND_EXPN,
	COMMAND_HELP,
	COMMAND_QUIT,
	COMMAND_STARTTLS,
	COMMAND_AUTH,
	COMMAND_ETRN,
	COMMAND_FOREIGN, /* HTTP or a TLS greeting: not our protocol */
};

#define COMMAND_VERBS 17

struct command_line {
	enum command_verb verb;
	const char *args; /* borrowed; behind the verb, blanks trimmed */
	size_t args_len;
};

/* Why a command cannot be taken. Texts are static. */
struct command_fault {
	uint16_t code; /* 0: no fault */
	const char *enhanced;
	const char *text;
};

enum command_find {
	COMMAND_FIND_MORE = 0, /* no CRLF yet */
	COMMAND_FIND_LINE,     /* *len_r octets, then CRLF */
	COMMAND_FIND_LONG,     /* more than max octets without CRLF */
};

/* Looks for the first CRLF; a bare CR or LF ends nothing. */
enum command_find command_find(const char *data, size_t len, size_t max,
                               size_t *len_r);

/* Octets of data that can be dropped while looking for the CRLF that ends an
 * overlong line; *ended_r when it was found (and is among them). */
size_t command_skip(const char *data, size_t len, bool *ended_r);

/* Control characters (also bare CR, LF, NUL) are a fault; 8-bit octets are
 * left to the arguments' grammar. 0 or -1 with *f filled. */
int command_split(const char *line, size_t len, struct command_line *out_r,
                  struct command_fault *f);

/* EHLO and HELO: one word of printable ASCII. *len_r octets at args. */
int command_parse_name(const char *args, size_t len, size_t *len_r,
                       struct command_fault *f);

/* What the server has offered: other parameters are unknown to it. */
enum command_offer {
	COMMAND_OFFER_ESMTP = 1, /* EHLO was used, not HELO */
	COMMAND_OFFER_AUTH = 2,
	COMMAND_OFFER_REQUIRETLS = 4, /* over TLS only (RFC 8689) */
};

enum command_body {
	COMMAND_BODY_NONE = 0,
	COMMAND_BODY_7BIT,
	COMMAND_BODY_8BITMIME,
};

enum command_ret {
	COMMAND_RET_NONE = 0,
	COMMAND_RET_FULL,
	COMMAND_RET_HDRS,
};

struct command_mail {
	struct address sender;
	bool null_sender;
	bool smtputf8;
	bool require_tls; /* REQUIRETLS */
	bool has_size;
	uint64_t size;
	enum command_body body;
	enum command_ret ret;
	const char *envid; /* xtext as given, borrowed; NULL when not given */
	size_t envid_len;
};

struct command_rcpt {
	struct address recipient; /* domain "" for <postmaster> alone */
	unsigned notify;          /* enum notify_flag of store/envelope.h */
	const char *orcpt;        /* as given, borrowed; NULL when not given */
	size_t orcpt_len;
};

/* args are those of MAIL and RCPT: "FROM:<path> parameters". *out_r is filled
 * on success only. smtputf8: the transaction has it. */
int command_parse_mail(const char *args, size_t len, unsigned offers,
                       struct command_mail *out_r, struct command_fault *f);
int command_parse_rcpt(const char *args, size_t len, unsigned offers,
                       bool smtputf8, struct command_rcpt *out_r,
                       struct command_fault *f);

/* "BDAT size [LAST]". A size beyond 2^62 is a fault as well. */
int command_parse_bdat(const char *args, size_t len, uint64_t *size_r,
                       bool *last_r, struct command_fault *f);

/* xtext (RFC 3461 section 4) whose decoded octets are printable ASCII. */
bool command_is_xtext(const char *s, size_t len);

#endif

/*
 * Who wrote a mail, and the names under which senders are kept, by table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/auto_allow.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define P DECISION_MAIL_PERSON
#define L DECISION_MAIL_LIST
#define A DECISION_MAIL_AUTOMATIC

#define HEAD "From: Ann <ann@example.com>\r\nSubject: x\r\n"

static const struct {
	const char *sender; /* NULL: a person's */
	const char *header;
	enum decision_mail mail;
} mails[] = {
	{ NULL, "", P },
	{ NULL, "Subject: Out of office: Re: x\r\n", P },
	{ "", "", A },
	{ "MAILER-DAEMON@example.com", "", A },
	{ "mailer-daemon@example.com", "", A },
	{ "mailer-daemons@example.com", "", P },
	/* RFC 3834 section 5 */
	{ NULL, "Auto-Submitted: no\r\n", P },
	{ NULL, "auto-submitted:NO\r\n", P },
	{ NULL, "Auto-Submitted: (really (so)) No ; owner=\"a\"\r\n", P },
	{ NULL, "Auto-Submitted:\r\n no\r\n", P },
	{ NULL, "Auto-Submitted : no (\\) still)\r\n", P },
	{ NULL, "Auto-Submitted: auto-replied\r\n", A },
	{ NULL, "AUTO-SUBMITTED: AUTO-GENERATED\r\n", A },
	{ NULL, "Auto-Submitted : auto-replied\r\n", A },
	{ NULL, "Auto-Submitted: (no) auto-notified; owner-email=x\r\n", A },
	{ NULL, "Auto-Submitted: auto-generated (warning-timeout)\r\n", A },
	{ NULL, "Auto-Submitted: nope\r\n", A },
	{ NULL, "Auto-Submitted: no way\r\n", A },
	{ NULL, "Auto-Submitted:\r\n", A },
	{ NULL, "Auto-Submitted: (no\r\n", A },
	{ NULL, "Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n", A },
	{ NULL, "X-Auto-Submitted: auto-replied\r\n", P },
	/* Precedence */
	{ NULL, "Precedence: bulk\r\n", A },
	{ NULL, "Precedence: Junk\r\n", A },
	{ NULL, "precedence:\r\n\tBULK\r\n", A },
	{ NULL, "Precedence: auto_reply\r\n", A },
	{ NULL, "Precedence: list\r\n", L },
	{ NULL, "Precedence: first-class\r\n", P },
	{ NULL, "Precedence: bulky\r\n", P },
	{ NULL, "Precedence:\r\n", P },
	/* lists: RFC 2369, RFC 2919 */
	{ NULL, "List-Id: <l.example.com>\r\n", L },
	{ NULL, "List-Unsubscribe: <mailto:u@example.com>\r\n", L },
	{ NULL, "list-post: NO\r\n", L },
	{ NULL, "Mailing-List: contact x\r\n", L },
	{ NULL, "List-Price: 5\r\n", P },
	{ NULL, "List-Id: <l>\r\nPrecedence: bulk\r\n", A },
	{ NULL, "Precedence: bulk\r\nList-Id: <l>\r\n", A },
	/* reports */
	{ NULL, "Content-Type: multipart/report; boundary=x\r\n", A },
	{ NULL, "Content-Type: Multipart / (c) Report\r\n", A },
	{ NULL, "Content-Type: message/disposition-notification\r\n", A },
	{ NULL, "Content-Type: message/rfc822\r\n", P },
	{ NULL, "Content-Type: multipart/mixed; a=\"multipart/report\"\r\n",
	  P },
	{ NULL, "Content-Type: multipart/reports\r\n", P },
	{ NULL, "Content-Type: text/calendar; method=REPLY\r\n", P },
	{ NULL, "Content-Type:\r\n", P },
	/* responders */
	{ NULL, "X-Autoreply: yes\r\n", A },
	{ NULL, "X-Autorespond: x\r\n", A },
	{ NULL, "X-MS-Exchange-Inbox-Rules-Loop: ann@example.com\r\n", A },
	{ NULL, "Feedback-ID: 1:2:3:x\r\n", A },
	{ NULL, "X-Auto-Response-Suppress: All\r\n", P },
	{ NULL, "X-Auto-Response-Suppress: DR, OOF, AutoReply\r\n", P },
	{ NULL, "X-Loop: x\r\n", P },
	/* behind the header there is no field */
	{ NULL, "\r\nPrecedence: bulk\r\n", P },
};

static void
mails_are_told_apart(void **state)
{
	char header[512];

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(mails); i++) {
		const char *sender = mails[i].sender != NULL
		                             ? mails[i].sender
		                             : "ann@example.com";
		int n = snprintf(header, sizeof(header), HEAD "%s",
		                 mails[i].header);

		if (auto_allow_mail(header, (size_t)n, sender) !=
		    mails[i].mail) {
			fail_msg("%s", mails[i].header);
		}
	}
}

/* Heads of mail that programs sent into the world. */
static void
real_headers(void **state)
{
	static const struct {
		const char *header;
		enum decision_mail mail;
	} real[] = {
		/* Mailman 2, Bugzilla through it, a draft announcement */
		{ "Precedence: list\r\nList-Id: <plasma-devel.kde.org>\r\n"
		  "List-Unsubscribe: <https://mail.kde.org/mailman/options/"
		  "plasma-devel>,\r\n <mailto:p-request@kde.org>\r\n"
		  "Content-Type: multipart/mixed; boundary=\"=_\"\r\n",
		  L },
		{ "Auto-Submitted: auto-generated\r\nPrecedence: list\r\n"
		  "List-Id: All Bugzilla email notifications "
		  "<bugzilla.lists.kolabsys.com>\r\n",
		  A },
		/* Sendmail's warning, Postfix' bounce, Exim's */
		{ "Auto-Submitted: auto-generated (warning-timeout)\r\n"
		  "Content-Type: multipart/report; "
		  "report-type=delivery-status;\r\n\tboundary=\"x\"\r\n",
		  A },
		{ "Content-Type: multipart/report; "
		  "report-type=delivery-status;\r\n\tboundary=\"x\"\r\n",
		  A },
		{ "Auto-Submitted: auto-replied\r\n"
		  "X-Failed-Recipients: a@b.test\r\n",
		  A },
		/* A person on a list of FreeBSD's: sent on by it */
		{ "Precedence: bulk\r\nX-Loop: FreeBSD.org\r\n", A },
		/* Outlook, signed by Apple Mail, VM */
		{ "X-Mailer: Microsoft Outlook 16.0\r\nThread-Index: AQ==\r\n"
		  "X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply\r\n"
		  "Content-Type: multipart/alternative; boundary=\"x\"\r\n",
		  P },
		{ "Content-Type: multipart/signed; boundary=\"x\"; "
		  "protocol=\"application/pkcs7-signature\"\r\n",
		  P },
	};

	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(real); i++) {
		assert_int_equal(auto_allow_mail(real[i].header,
		                                 strlen(real[i].header),
		                                 "a@example.com"),
		                 real[i].mail);
	}
}

static const struct {
	const char *text;
	const char *folded; /* NULL: refused */
	const char *exact;
} keys[] = {
	{ "Bob@Partner.TEST", "bob@partner.test", "Bob@partner.test" },
	{ "@partner.test.", "@partner.test", "@partner.test" },
	{ "\"bob\"@partner.test", "bob@partner.test", "bob@partner.test" },
	{ "\"b\\ob\"@partner.test", "bob@partner.test", "bob@partner.test" },
	{ "\"B b\"@partner.test", "\"b b\"@partner.test",
	  "\"B b\"@partner.test" },
	{ "bob+tag@partner.test", "bob+tag@partner.test",
	  "bob+tag@partner.test" },
	{ "b.o.b@partner.test", "b.o.b@partner.test", "b.o.b@partner.test" },
	{ "bob@B\xc3\xbc"
	  "cher.example",
	  "bob@xn--bcher-kva.example", "bob@xn--bcher-kva.example" },
	{ "bob@XN--BCHER-KVA.example", "bob@xn--bcher-kva.example",
	  "bob@xn--bcher-kva.example" },
	/* Cyrillic a: another address; case outside ASCII: another one */
	{ "\xd0\xb0nn@partner.test", "\xd0\xb0nn@partner.test",
	  "\xd0\xb0nn@partner.test" },
	{ "J\xc3\x96@partner.test", "j\xc3\x96@partner.test",
	  "J\xc3\x96@partner.test" },
	{ "bob@[192.0.2.1]", "bob@[192.0.2.1]", "bob@[192.0.2.1]" },
	{ "@Partner.TEST", "@partner.test", "@partner.test" },
	{ "@b\xc3\xbc"
	  "cher.example",
	  "@xn--bcher-kva.example", "@xn--bcher-kva.example" },
	{ "", NULL, NULL },
	{ "@", NULL, NULL },
	{ "bob", NULL, NULL },
	{ "bob@", NULL, NULL },
	{ "a b@partner.test", NULL, NULL },
	{ "bob@partner.test\n", NULL, NULL },
	{ "@a..b", NULL, NULL },
	{ "@a@b", NULL, NULL },
	{ "<bob@partner.test>", NULL, NULL },
};

static void
check_key(enum conf_local_part mode, const char *text, const char *want)
{
	char out[AUTO_ALLOW_KEY_MAX] = "untouched";

	if ((auto_allow_key(mode, text, out) == -1) != (want == NULL)) {
		fail_msg("%s", text);
	}
	if (want == NULL) {
		assert_int_equal(auto_allow_key(mode, text, out), -1);
		assert_string_equal(out, "untouched");
		return;
	}
	assert_int_equal(auto_allow_key(mode, text, out), 0);
	assert_string_equal(out, want);
	/* A key is its own key. */
	assert_int_equal(auto_allow_key(mode, want, out), 0);
	assert_string_equal(out, want);
}

static void
keys_fold_as_mail_does(void **state)
{
	(void)state; /* cmocka's type */
	for (size_t i = 0; i < COUNT(keys); i++) {
		check_key(CONF_LOCAL_PART_FOLD, keys[i].text, keys[i].folded);
		check_key(CONF_LOCAL_PART_EXACT, keys[i].text, keys[i].exact);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mails_are_told_apart),
		cmocka_unit_test(real_headers),
		cmocka_unit_test(keys_fold_as_mail_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Where the thread begins in replies as real mailers write them, plain text
 * and HTML; "@@" stands there in the cases. And what must not be taken for a
 * thread: answers between the lines, "From:" in prose, poems.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mime/quote.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef bool (*find_fn)(const char *, size_t, size_t *);

/* Finds it at the "@@" of the case, or nothing if there is none. */
static void
check(find_fn find, const char *text)
{
	const char *mark = strstr(text, "@@");
	char *plain = mem_strdup(text);
	size_t want = mark == NULL ? 0 : (size_t)(mark - text);
	size_t at = SIZE_MAX;
	bool found = false;

	if (mark != NULL) {
		memmove(plain + want, plain + want + 2,
		        strlen(plain + want + 2) + 1);
	}
	found = find(plain, strlen(plain), &at);
	if (found != (mark != NULL) || (found && at != want)) {
		print_error("in: %s\n", text);
		if (found) {
			print_error("found at: %.60s\n", plain + at);
		}
		fail();
	}
	free(plain);
}

static void
check_all(find_fn find, const char *const *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		check(find, cases[i]);
	}
}

#define QUOTED "\n> Hello\n>\n> > older\n"

static void
text_introductions(void **state)
{
	static const char *const cases[] = {
		"Yes.\n\n@@On Wed, Nov 4, 2020 at 9:31 AM A B <a@b.example> "
		"wrote:\n" QUOTED,
		/* Wrapped. */
		"Yes.\n\n@@On Wed, Nov 4, 2020 at 9:31 AM Anna Long Name\n"
		"<a@b.example> wrote:\n" QUOTED,
		"Yes.\r\n\r\n@@On Wed, Nov 4, 2020 at 9:31 AM Anna Long\r\n"
		"Very Long Name via List\r\n<a@b.example> wrote:\r\n"
		"\r\n> a\r\n>\r\n",
		/* No blank line above it: the first word tells. */
		"Yes.\n@@On 04/11/2020 09:31, A B wrote:\n> Hello\n",
		"Yes.\n@@On 04/11/2020 09:31, A B\n<a@b.example> wrote:\n> x\n",
		"Ja.\n\n@@Am Mi., 4. Nov. 2020 um 09:31 Uhr schrieb A B <\n"
		"a@b.example>:\n" QUOTED,
		"Oui.\n\n@@Le mer. 4 nov. 2020 \xc3\xa0 09:31, A B "
		"<a@b.example> a \xc3\xa9"
		"crit\xc2\xa0:\n" QUOTED,
		"S\xc3\xad.\n\n@@El mi\xc3\xa9, 4 nov 2020 a las 9:31, A B "
		"(<a@b.example>)\nescribi\xc3\xb3:\n" QUOTED,
		"Si.\n\n@@Il giorno mer 4 nov 2020 alle ore 09:31 A B <\n"
		"a@b.example> ha scritto:\n" QUOTED,
		"Ja.\n\n@@Op wo 4 nov. 2020 om 09:31 schreef A B "
		"<a@b.example>:\n" QUOTED,
		"Sim.\n\n@@Em qua., 4 de nov. de 2020 \xc3\xa0s 09:31, A B "
		"<a@b.example>\nescreveu:\n" QUOTED,
		"Tak.\n\n@@W dniu 4.11.2020 o 09:31, A B pisze:\n> a\n",
		"Tak.\n\n@@\xc5\x9br., 4 lis 2020 o 09:31 A B <a@b.example> "
		"napisa\xc5\x82(a):\n" QUOTED,
		"Ja.\n\n@@Den ons 4 nov. 2020 kl 09:31 skrev A B "
		"<a@b.example>:\n" QUOTED,
		"Ja.\n\n@@ons. 4. nov. 2020 kl. 09:31 skrev A B "
		"<a@b.example>:\n" QUOTED,
		"Joo.\n\n@@ke 4. marrask. 2020 klo 9.31 A B (a@b.example) "
		"kirjoitti:\n" QUOTED,
		"Ano.\n\n@@st 4. 11. 2020 v 9:31 odes\xc3\xadlatel A B "
		"<a@b.example> napsal:\n" QUOTED,
		"\xd0\x94\xd0\xb0.\n\n@@\xd1\x81\xd1\x80, 4 2020, 09:31 A B "
		"<a@b.example>:\n" QUOTED,
		"\n@@2020\xe5\xb9\xb4"
		"11\xe6\x9c\x88"
		"4\xe6\x97\xa5 9:31 A B <a@b.example>:\n" QUOTED,
		"\xe5\xa5\xbd\n\n@@A B <a@b.example> "
		"\xe4\xba\x8e"
		"2020\xe5\xb9\xb4 09:31\xe5\x86\x99\xe9\x81\x93\xef\xbc\x9a"
		"\n" QUOTED,
		/* Mutt, and a prose line of the writer's that is none. */
		"Yes.\n\n@@On Wed, Nov 04, 2020 at 09:31:00AM +0100, A B "
		"wrote:\n> a\n",
		"As I wrote:\n@@> a\n",
		"On 4/11/2020, A wrote:\n\n\n\n\n@@> far away\n",
		"Yes:\n\n@@> a\n",
		/* Proton writes both. */
		"Yes.\n\n@@------- Original Message -------\nOn Wednesday, "
		"November 4th, 2020 at 9:31, A <a@b.example> wrote:\n" QUOTED,
		/* iPhone quotes its introduction too. */
		"Yes\n\nSent from my iPhone\n\n@@> On Nov 4, 2020, at 9:31, A "
		"wrote:\n> \n> \xef\xbb\xbfHello\n",
	};

	(void)state;
	check_all(quote_find_text, cases, COUNT(cases));
}

static void
text_plain(void **state)
{
	static const char *const cases[] = {
		"Yes.\n\n@@> Can you come?\n",
		"@@> nothing of the writer's\n",
		/* A signature belongs to the writer, above or below. */
		"Yes.\n-- \nA\n\n@@On 4/11/2020, B wrote:\n> Hello\n",
		"Yes.\n\n@@On 4/11/2020, B wrote:\n> Hello\n\n-- \nA\nCompany\n",
		"Yes.\n\n@@> Hello\n\n> there\n--\nA\n",
		/* Answers between and below the lines. */
		"On 4/11/2020, B wrote:\n> Can you come?\n\nYes.\n",
		"> Can you?\nYes.\n> When?\n",
		"> Can you?\nYes.\n> When?\nNow.\n-- \nA\n",
		"Hi\n> roses\n> violets\nis a poem.\n",
		"Hi\n> roses\n> violets\nis.\n\nOn 4/11/2020, B wrote:\n> a\n",
		/* The mark of a mailbox is none of quotation. */
		"Yes.\n>From here on\n",
		"Yes.\n>From here on\n\n@@> a\n>From\n",
		/* Words without a quotation. */
		"On Monday 4 he wrote:\nnothing\n",
		"On Monday 4 he wrote:\n",
		"a > b\n",
		"",
		"\n\n",
		" > stuffed\n",
	};

	(void)state;
	check_all(quote_find_text, cases, COUNT(cases));
}

static void
text_headers(void **state)
{
	static const char *const cases[] = {
		"Yes.\n\n@@From: A <a@b.example>\nSent: Monday 9:31\nTo: B\n"
		"Subject: x\n\nHello\nanything\n",
		"Yes.\r\n\r\n@@________________________________\r\n"
		"From: A\r\nSent: Monday\r\nTo: B\r\nCc: C\r\nSubject: x\r\n"
		"\r\nHello\r\n",
		"Yes.\n@@________________________________\n\n"
		"From: A\nDate: x\nTo: B;\n C;\n D\nSubject: x\n\nHello\n",
		"Yes.\n\n@@-----Original Message-----\nFrom: A\n"
		"Sent: Monday\nHello\n",
		"Yes.\n\n@@-----Original Message-----\n> From: A\n> Sent: x\n",
		"Ja.\n\n@@-----Urspr\xc3\xbcngliche Nachricht-----\nVon: A\n",
		"Ja.\n\n@@Von: A\nGesendet: Mo\nAn: B\nBetreff: x\n\nHallo\n",
		"Oui.\n\n@@De : A\nEnvoy\xc3\xa9 : lundi\n\xc3\x80 : B\n"
		"Objet : x\n\nBonjour\n",
		"Oui.\n\n@@De\xc2\xa0: A\nEnvoy\xc3\xa9\xc2\xa0: lundi\n"
		"\xc3\x80\xc2\xa0: B\nObjet\xc2\xa0: x\n\nBonjour\n",
		"Si.\n\n@@De: A\nEnviado el: lunes\nPara: B\nAsunto: x\n\nHo\n",
		"Si.\n\n@@Da: A\nInviato: lun\nA: B\nOggetto: x\n\nCiao\n",
		"Ja.\n\n@@Van: A\nVerzonden: ma\nAan: B\nOnderwerp: x\n\nHoi\n",
		"Tak.\n\n@@Od: A\nWys\xc5\x82"
		"ano: pn\nDo: B\nTemat: x\n\nHej\n",
		"Sim.\n\n@@De: A\nEnviada em: x\nPara: B\nAssunto: x\n\nOi\n",
		"Ja.\n\n@@Fr\xc3\xa5n: A\nSkickat: x\nTill: B\n\xc3\x84mne: x\n",
		"Ja.\n\n@@Fra: A\nSendt: x\nTil: B\nEmne: x\n\nHej\n",
		"Joo.\n\n@@L\xc3\xa4hett\xc3\xa4j\xc3\xa4: A\n"
		"L\xc3\xa4hetetty: x\nVastaanottaja: B\nAihe: x\n",
		"Ano.\n\n@@Od: A\nOdesl\xc3\xa1no: x\nKomu: B\n"
		"P\xc5\x99"
		"edm\xc4\x9bt: x\n",
		"\n@@\xd0\x9e\xd1\x82: A\n"
		"\xd0\x9e\xd1\x82\xd0\xbf\xd1\x80\xd0\xb0\xd0\xb2\xd0\xbb"
		"\xd0\xb5\xd0\xbd\xd0\xbe: x\n\xd0\xa2\xd0\xb5\xd0\xbc"
		"\xd0\xb0: x\n",
		"\n@@\xe5\xb7\xae\xe5\x87\xba\xe4\xba\xba: A\n"
		"\xe9\x80\x81\xe4\xbf\xa1\xe6\x97\xa5\xe6\x99\x82: x\n"
		"\xe5\xae\x9b\xe5\x85\x88: B\n\xe4\xbb\xb6\xe5\x90\x8d: x\n",
		"\n@@\xe5\x8f\x91\xe4\xbb\xb6\xe4\xba\xba\xef\xbc\x9a A\n"
		"\xe5\x8f\x91\xe9\x80\x81\xe6\x97\xb6\xe9\x97\xb4: x\n"
		"\xe4\xb8\xbb\xe9\xa2\x98: x\n",
		"*A*\n\n@@*From:* A\n*Sent:* x\n*To:* B\n*Subject:* x\n\nx\n",
		/* Forwards. */
		"See.\n\n@@---------- Forwarded message ---------\nFrom: A "
		"<a@b.example>\nDate: x\nSubject: y\nTo: B\n\n\nHello\n",
		"See.\n\n@@Begin forwarded message:\n\n> From: A\n> Subject: x\n"
		"> \n> Hello\n",
		"See.\n\n@@Begin forwarded message:\n\nFrom: A\nSubject: x\n\nH\n",
		"@@Anfang der weitergeleiteten Nachricht:\n\n> Von: A\n",
		"@@-------- Forwarded Message --------\nSubject: x\nDate: y\n",
		"See.\n@@-----A/Org wrote: -----\nTo: B\nFrom: A\n",
		/* An answer between the lines of an older thread's top. */
		"> a\nYes.\n\n@@From: A\nSent: x\nTo: B\nSubject: y\n\nHello\n",
		/* Quoted lines right above the headers belong to them. */
		"Yes.\n\n@@> a\n> b\n\nFrom: A\nSent: x\nSubject: y\n\nHi\n",
		/* Yahoo marks nothing: the older thread in it is not this. */
		"Yes.\n\n  On Monday, 4 Nov 2020, A <a@b.example> wrote:\n \n"
		"  Hello\n\n  From: A\n  Sent: x\n  Subject: y\n\n  Hi\n",
		/* No headers, or such as prose has them. */
		"From: the beginning\nit was clear.\n",
		"From: Rome\nTo: Paris\nDate: 3 May\n\nSee you.\n",
		"See\nFrom: A\nSent: x\nTo: B\nSubject: y\n",
		"See\n\nFrom: A\n\nSent: x\n\nSubject: y\n",
		"See\n\nFrom: A\n1\n2\n3\n4\n5\n6\n7\nSent: x\nSubject: y\n",
		"-----Original Message-----\nis a strange title.\n",
		"-----Original Message-----\n",
		"Begin forwarded message:\nno, not really.\n",
		"________________________________\nFrom all of us.\n",
	};

	(void)state;
	check_all(quote_find_text, cases, COUNT(cases));
}

#define OUTLOOK                                                                \
	"<div style=\"border:none;border-top:solid #E1E1E1 1.0pt;"             \
	"padding:3.0pt 0cm 0cm 0cm\"><p class=\"MsoNormal\"><b>"
#define HEADERS                                                                \
	"<b>From:</b> A &lt;a@b.example&gt;<br><b>Sent:</b> Monday<br>"        \
	"<b>To:</b> B<br><b>Subject:</b> x<br>"

static void
html_outlook(void **state)
{
	static const char *const cases[] = {
		"<html><head><style>p{}</style></head><body lang=EN-GB>"
		"<div class=\"WordSection1\"><p class=\"MsoNormal\">Yes."
		"<o:p></o:p></p><p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>"
		"@@<div>" OUTLOOK "<span lang=EN-US>From:</span></b> A "
		"&lt;a@b.example&gt;\r\n<br>\r\n<b>Sent:</b> Monday<br>\n"
		"<b>To:</b> B<br><b>Subject:</b> x<o:p></o:p></p></div></div>"
		"<p class=\"MsoNormal\">Hello</p></div></body></html>",
		/* Without the outer div, and in other languages. */
		"<p>Ja.</p>@@" OUTLOOK "Von:</b> A<br><b>Gesendet:</b> Mo<br>"
		"<b>An:</b> B<br><b>Betreff:</b> x</p></div><p>Hallo</p>",
		"<p>Oui.</p>@@" OUTLOOK "De&nbsp;:</b> A<br><b>Envoy&eacute;"
		"&nbsp;:</b> lundi<br><b>&Agrave;&nbsp;:</b> B<br><b>Objet"
		"&nbsp;:</b> x</p></div><p>Bonjour</p>",
		/* Hungarian is none of the languages: the rule tells. */
		"<p>Igen.</p>@@" OUTLOOK "Felad&oacute;:</b> A<br><b>"
		"Elk&uuml;ldve:</b> x<br><b>T&aacute;rgy:</b> y</p></div>z",
		/* For the Mac: paragraphs, no rule. */
		"<p>Yes.</p><p>&nbsp;</p>@@<p><b>From: </b>A</p>"
		"<p><b>Date: </b>x</p><p><b>To: </b>B</p>"
		"<p><b>Subject: </b>y</p><p>Hello</p>",
		/* On the web. */
		"<body dir=\"ltr\"><div class=\"elementToProof\">Yes.</div>"
		"@@<div id=\"appendonsend\"></div>\n"
		"<hr style=\"display:inline-block;width:98%\" tabindex=\"-1\">"
		"<div id=\"divRplyFwdMsg\" dir=\"ltr\"><font>" HEADERS
		"</font><div>&nbsp;</div></div><div>Hello</div></body>",
		"<div>Yes.</div><div><br></div>"
		"@@<hr tabindex=\"-1\"><div id=\"x_divRplyFwdMsg\">Absender"
		"</div>Hello",
		/* On telephones. */
		"<div>Yes.</div><div id=\"ms-outlook-mobile-signature\">"
		"Get Outlook for iOS</div>"
		"@@<div id=\"mail-editor-reference-message-container\">"
		"<div class=\"ms-outlook-mobile-reference-message\"></div>"
		"<div class=\"ms-outlook-mobile-reference-message\" style=\""
		"padding:3pt 0in 0in;border-style:solid none none\">" HEADERS
		"</div></div><div>Hello</div>",
		"Yes.@@<div id=\"id-1\" class=\""
		"ms-outlook-mobile-reference-message\"><div><br></div>"
		"<hr><div id=\"divRplyFwdMsg\">" HEADERS "</div>Hello</div>",
		/* All of it in the one cell of a table. */
		"<table><tr><td><div>Yes.</div>@@<div>" HEADERS
		"</div>Hello</td></tr></table>",
		/* Beside other cells, or with something behind the cell. */
		"<table><tr><td>Logo</td><td><div>Yes.</div><div>" HEADERS
		"</div>Hello</td></tr></table>",
		"<table><tr><td><div>Yes.</div><div>" HEADERS
		"</div>Hello</td></tr></table><p>Answer</p>",
		"<table><tr><td><div>Yes.</div><div>" HEADERS
		"</div>Hello</td><td>Answer</td></tr></table>",
		"<table><tr><td><p>Yes.</p><p>From: A</p></td><td><p>Date: x"
		"</p><p>Subject: y</p></td></tr></table>",
		/* The headers in cells of their own: above the table. */
		"<p>Yes.</p>@@<table><tr><td>From:</td><td>A</td></tr><tr><td>"
		"Date:</td><td>x</td></tr><tr><td>Subject:</td><td>y</td></tr>"
		"</table>Hello",
		/* No place for a block. */
		"<ul><li>Yes.<div>" HEADERS "</div>Hello</li></ul>",
		"<b>Yes.<div>" HEADERS "</div>Hello</b>",
		/* The paragraph is open still: no place before the div. */
		"<p>Yes.<div>@@<div>" HEADERS "</div>Hello</div>",
		/* Prose. */
		"<p>See</p><p>From: Rome</p><p>To: Paris</p><p>Date: x</p>",
		"<p>See</p><p>From: A</p>",
		"<p>See</p><hr><p>the line</p>",
		"<p>See</p><div id=\"appendonsend\"></div><p>Answer</p>",
		"<!-- <div id=\"divRplyFwdMsg\"> --><p>Hi</p>",
		"<p title='<div id=\"divRplyFwdMsg\">'>Hi</p>",
		"<style><div id=\"divRplyFwdMsg\"></style><p>Hi</p>",
	};

	(void)state;
	check_all(quote_find_html, cases, COUNT(cases));
}

#define WROTE                                                                  \
	"On Mon, 4 Nov 2020 at 9:31, A &lt;<a href=\"mailto:a@b\">a@b"         \
	"</a>&gt; wrote:"
#define GMAIL                                                                  \
	"<div class=\"gmail_quote gmail_quote_container\"><div dir=\"ltr\" "   \
	"class=\"gmail_attr\">" WROTE "<br></div><blockquote "                 \
	"class=\"gmail_quote\" style=\"margin:0\">"

static void
html_quotations(void **state)
{
	static const char *const cases[] = {
		/* Gmail. */
		"<div dir=\"ltr\">Yes.</div><br>@@" GMAIL
		"<div>Hello</div></blockquote></div>\r\n",
		"<div>Yes.</div>@@" GMAIL "a<blockquote>b</blockquote>c"
		"</blockquote></div><div class=\"yj6qo\"></div>",
		"<div>See</div>@@<div class=\"gmail_quote\"><div class=\""
		"gmail_attr\">---------- Forwarded message ---------<br>From: "
		"<b>A</b><br>Date: x<br>Subject: y<br></div>Hello</div>",
		/* Answers below and between. */
		"<div>Yes.</div>" GMAIL "Hello</blockquote></div>No.",
		GMAIL "Hello</blockquote><div>Yes.</div><blockquote "
		      "class=\"gmail_quote\">And?</blockquote></div>",
		GMAIL "Hello</blockquote><img src=\"cid:1\"></div>",
		"<div>Yes.</div>@@" GMAIL "Hello</blockquote>"
		"<img src=\"https://x.example/t.gif\"></div>",
		/* Apple. */
		"<body>Yes.<br><div><br>@@<blockquote type=\"cite\"><div>On 4 "
		"Nov 2020, at 9:31, A wrote:</div><br><div>Hello</div>"
		"</blockquote></div><br></body>",
		"<div>Yes.</div>@@<div>" WROTE "</div><br class=\"x\">"
		"<blockquote type=\"cite\">Hello</blockquote>",
		"<div dir=\"ltr\">Yes.</div><div dir=\"ltr\"><br>"
		"@@<blockquote type=\"cite\">On 4 Nov, A wrote:<br><br>"
		"</blockquote></div><blockquote type=\"cite\"><div>Hello</div>"
		"</blockquote>",
		"<blockquote type=\"cite\">Hello</blockquote><div>Yes.</div>"
		"<blockquote type=\"cite\">And?</blockquote>",
		/* Thunderbird: any language; its signature stands below. */
		"<p>Yes.</p>@@<div class=\"moz-cite-prefix\">Igen, A:<br>"
		"</div>\n<blockquote type=\"cite\" cite=\"mid:1@x\">Hello"
		"</blockquote>",
		"<p>Yes.</p>@@<div class=\"moz-cite-prefix\">A 1:</div>"
		"<blockquote type=\"cite\">Hello</blockquote>"
		"<pre class=\"moz-signature\" cols=\"72\">-- \nA</pre>",
		"<p>Yes.</p><div class=\"moz-cite-prefix\">A 1:</div>"
		"<blockquote type=\"cite\">Hello</blockquote>"
		"<pre class=\"moz-signature\" cols=\"72\">-- \nA</pre>No.",
		"<p>Yes.</p>@@<blockquote type=cite>a</blockquote><p>-- <br>A",
		"<p>See</p>@@<div class=\"moz-forward-container\"><br><br>"
		"-------- Forwarded Message --------<table><tr><th>Subject: "
		"</th><td>x</td></tr></table>Hello</div>",
	};

	(void)state;
	check_all(quote_find_html, cases, COUNT(cases));
}

static void
html_others(void **state)
{
	static const char *const cases[] = {
		/* Roundcube, K-9. */
		"<p>Yes.</p>\n@@<p id=\"reply-intro\">On 2020-11-04 9:31, A "
		"wrote:</p>\n<blockquote type=\"cite\">Hello</blockquote>",
		"Yes.<br><br>@@<div class=\"gmail_quote\">On 4 November 2020, "
		"A wrote:<blockquote class=\"gmail_quote\">Hello</blockquote>"
		"</div>",
		/* Yahoo, Proton, Zimbra, Zoho. */
		"<div>Yes.</div>@@<div id=\"ydp1yahoo_quoted_2\" class=\""
		"ydp1yahoo_quoted\"><div>" WROTE "</div><div>Hello</div></div>",
		"<div>Yes.</div><div class=\"yahoo_quoted\"><div>" WROTE
		"</div><div>Hello</div></div><p>No.</p>",
		"<div>Yes.</div><br>@@<div class=\"protonmail_quote\">\n"
		"On Monday, 4th at 9:31, A &lt;a@b&gt; wrote:<br><br>"
		"<blockquote class=\"protonmail_quote\" type=\"cite\">Hello"
		"</blockquote><br></div>",
		"<div>Yes.</div>@@<hr id=\"zwchr\" data-marker=\"__DIVIDER__\">"
		"<div data-marker=\"__HEADERS__\"><b>From: </b>A<br><b>To: </b>"
		"B<br><b>Sent: </b>x<br><b>Subject: </b>y<br></div>"
		"<div data-marker=\"__QUOTED_TEXT__\">Hello</div>",
		"<div>Yes.</div>@@<div class=\"zmail_extra\">---- On Mon, 4 "
		"<b>A</b> wrote ----<blockquote>Hello</blockquote></div>",
		/* Notes. */
		"Yes.<br><br>@@<font color=\"#990099\">-----A/Org wrote: -----"
		"</font><div>To: B<br>From: A<br></div>Hello",
		/* Any quotation that is introduced; a poem is not. */
		"<p>Yes.</p>@@<div>" WROTE "</div><blockquote>Hello"
		"</blockquote>",
		"<p>See</p><blockquote>roses</blockquote>",
		"<p>See</p><blockquote>roses</blockquote><p>is it.</p>",
		/* The line begins behind the div, where no tag is. */
		"<p>Yes.</p><div></div>On 4 Nov 2020, A wrote:"
		"@@<blockquote type=cite>a</blockquote>",
		/* The end of its cell ends it. */
		"<table><tr><td><blockquote type=cite>a</td><td>Answer</td>"
		"</tr></table>",
		/* A div within a quotation does not end it; a table cannot. */
		"<p>Yes.</p>@@<div class=\"yahoo_quoted\"><div>a</div>b<table>"
		"<tr><td></div></td></tr></table>c</div>",
		"<p>Yes.</p>@@<blockquote type=cite>never closed<p>at all",
		"",
		"Hello",
		"<blockquote",
	};

	(void)state;
	check_all(quote_find_html, cases, COUNT(cases));
}

/* Lines without end (checklist B38). */
static void
linear(void **state)
{
	static const struct {
		const char *unit;
		bool html;
	} cases[] = {
		{ "> \n", false },
		{ ">", false },
		{ "On ", false },
		{ "On \n", false },
		{ "On 1\n", false },
		{ "From: \n", false },
		{ "\nFrom: a\n", false },
		{ "-", false },
		{ "----\n", false },
		{ "________\n", false },
		{ "\n", false },
		{ "\xc2\xa0", false },
		{ "wrote", false },
		{ "<blockquote>", true },
		{ "<blockquote type=cite>", true },
		{ "<blockquote type=cite>a</blockquote>", true },
		{ "<div>", true },
		{ "<div class=x></div>", true },
		{ "</div>", true },
		{ "<p>From: a", true },
		{ "<p>On 1 a wrote:</p>", true },
		{ "<table><tr><td>", true },
		{ "<td>a</td>", true },
		{ "<b><p>", true },
		{ "<br>", true },
		{ "<hr>", true },
		{ "&nbsp;", true },
		{ "&", true },
		{ "<", true },
		{ "<a ", true },
	};

	size_t size = 2 << 20;
	char *text = mem_alloc(size);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t n = strlen(cases[i].unit);
		size_t len = size - size % n;
		size_t at = 0;
		clock_t start = 0;
		double seconds = 0;

		for (size_t k = 0; k < len; k += n) {
			memcpy(text + k, cases[i].unit, n);
		}
		start = clock();
		(void)(cases[i].html ? quote_find_html
		                     : quote_find_text)(text, len, &at);
		seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
		if (getenv("QUOTE_TIMES") != NULL) {
			print_message("%s: %.3f s\n", cases[i].unit, seconds);
		}
		if (seconds > 2) {
			print_error("%s: %.3f s\n", cases[i].unit, seconds);
			fail();
		}
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_introductions),
		cmocka_unit_test(text_plain),
		cmocka_unit_test(text_headers),
		cmocka_unit_test(html_outlook),
		cmocka_unit_test(html_quotations),
		cmocka_unit_test(html_others),
		cmocka_unit_test(linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

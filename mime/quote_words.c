/*
 * What mailers write above the message they quote, in their languages: names
 * of header fields, "Original Message", "On ... wrote:". ASCII letters in any
 * case; others as mailers write them.
 */
#include "mime/quote_private.h"

#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Longest name of a field, in octets. */
#define LABEL_MAX 40

static const struct {
	const char *name;
	unsigned label;
} labels[] = {
	{ "from", QUOTE_LABEL_FROM },
	{ "von", QUOTE_LABEL_FROM },
	{ "de", QUOTE_LABEL_FROM },
	{ "da", QUOTE_LABEL_FROM },
	{ "van", QUOTE_LABEL_FROM },
	{ "od", QUOTE_LABEL_FROM },
	{ "fra", QUOTE_LABEL_FROM },
	{ "från", QUOTE_LABEL_FROM },
	{ "lähettäjä", QUOTE_LABEL_FROM },
	{ "expéditeur", QUOTE_LABEL_FROM },
	{ "mittente", QUOTE_LABEL_FROM },
	{ "afzender", QUOTE_LABEL_FROM },
	{ "nadawca", QUOTE_LABEL_FROM },
	{ "odesílatel", QUOTE_LABEL_FROM },
	{ "От", QUOTE_LABEL_FROM },
	{ "от", QUOTE_LABEL_FROM },
	{ "差出人", QUOTE_LABEL_FROM },
	{ "送信者", QUOTE_LABEL_FROM },
	{ "发件人", QUOTE_LABEL_FROM },
	{ "寄件者", QUOTE_LABEL_FROM },
	{ "寄件人", QUOTE_LABEL_FROM },
	{ "sent", QUOTE_LABEL_DATE },
	{ "date", QUOTE_LABEL_DATE },
	{ "gesendet", QUOTE_LABEL_DATE },
	{ "gesendet am", QUOTE_LABEL_DATE },
	{ "datum", QUOTE_LABEL_DATE },
	{ "envoyé", QUOTE_LABEL_DATE },
	{ "envoyé le", QUOTE_LABEL_DATE },
	{ "enviado", QUOTE_LABEL_DATE },
	{ "enviado el", QUOTE_LABEL_DATE },
	{ "enviado em", QUOTE_LABEL_DATE },
	{ "enviada", QUOTE_LABEL_DATE },
	{ "enviada em", QUOTE_LABEL_DATE },
	{ "fecha", QUOTE_LABEL_DATE },
	{ "data", QUOTE_LABEL_DATE },
	{ "inviato", QUOTE_LABEL_DATE },
	{ "data invio", QUOTE_LABEL_DATE },
	{ "verzonden", QUOTE_LABEL_DATE },
	{ "wysłano", QUOTE_LABEL_DATE },
	{ "wysłane", QUOTE_LABEL_DATE },
	{ "skickat", QUOTE_LABEL_DATE },
	{ "sendt", QUOTE_LABEL_DATE },
	{ "dato", QUOTE_LABEL_DATE },
	{ "lähetetty", QUOTE_LABEL_DATE },
	{ "päivämäärä", QUOTE_LABEL_DATE },
	{ "päiväys", QUOTE_LABEL_DATE },
	{ "odesláno", QUOTE_LABEL_DATE },
	{ "odeslané", QUOTE_LABEL_DATE },
	{ "Отправлено", QUOTE_LABEL_DATE },
	{ "Дата", QUOTE_LABEL_DATE },
	{ "送信日時", QUOTE_LABEL_DATE },
	{ "日時", QUOTE_LABEL_DATE },
	{ "日付", QUOTE_LABEL_DATE },
	{ "发送时间", QUOTE_LABEL_DATE },
	{ "日期", QUOTE_LABEL_DATE },
	{ "寄件日期", QUOTE_LABEL_DATE },
	{ "傳送時間", QUOTE_LABEL_DATE },
	{ "subject", QUOTE_LABEL_SUBJECT },
	{ "betreff", QUOTE_LABEL_SUBJECT },
	{ "objet", QUOTE_LABEL_SUBJECT },
	{ "asunto", QUOTE_LABEL_SUBJECT },
	{ "oggetto", QUOTE_LABEL_SUBJECT },
	{ "onderwerp", QUOTE_LABEL_SUBJECT },
	{ "temat", QUOTE_LABEL_SUBJECT },
	{ "assunto", QUOTE_LABEL_SUBJECT },
	{ "Ämne", QUOTE_LABEL_SUBJECT },
	{ "ämne", QUOTE_LABEL_SUBJECT },
	{ "emne", QUOTE_LABEL_SUBJECT },
	{ "aihe", QUOTE_LABEL_SUBJECT },
	{ "předmět", QUOTE_LABEL_SUBJECT },
	{ "Тема", QUOTE_LABEL_SUBJECT },
	{ "件名", QUOTE_LABEL_SUBJECT },
	{ "主题", QUOTE_LABEL_SUBJECT },
	{ "主旨", QUOTE_LABEL_SUBJECT },
	{ "主題", QUOTE_LABEL_SUBJECT },
	{ "to", QUOTE_LABEL_OTHER },
	{ "cc", QUOTE_LABEL_OTHER },
	{ "reply-to", QUOTE_LABEL_OTHER },
	{ "an", QUOTE_LABEL_OTHER },
	{ "à", QUOTE_LABEL_OTHER },
	{ "À", QUOTE_LABEL_OTHER },
	{ "pour", QUOTE_LABEL_OTHER },
	{ "para", QUOTE_LABEL_OTHER },
	{ "a", QUOTE_LABEL_OTHER },
	{ "aan", QUOTE_LABEL_OTHER },
	{ "do", QUOTE_LABEL_OTHER },
	{ "dw", QUOTE_LABEL_OTHER },
	{ "till", QUOTE_LABEL_OTHER },
	{ "til", QUOTE_LABEL_OTHER },
	{ "kopia", QUOTE_LABEL_OTHER },
	{ "vastaanottaja", QUOTE_LABEL_OTHER },
	{ "kopio", QUOTE_LABEL_OTHER },
	{ "komu", QUOTE_LABEL_OTHER },
	{ "Кому", QUOTE_LABEL_OTHER },
	{ "Копия", QUOTE_LABEL_OTHER },
	{ "宛先", QUOTE_LABEL_OTHER },
	{ "收件人", QUOTE_LABEL_OTHER },
	{ "收件者", QUOTE_LABEL_OTHER },
	{ "抄送", QUOTE_LABEL_OTHER },
	{ "副本", QUOTE_LABEL_OTHER },
};

/* Between rows of dashes. */
static const char *const bars[] = {
	"original message",
	"forwarded message",
	"original appointment",
	"forwarded by",
	"ursprüngliche nachricht",
	"originalnachricht",
	"original-nachricht",
	"weitergeleitete nachricht",
	"ursprünglicher termin",
	"message d'origine",
	"message d’origine",
	"message original",
	"message initial",
	"message transféré",
	"mensaje original",
	"mensaje reenviado",
	"messaggio originale",
	"messaggio originario",
	"messaggio inoltrato",
	"oorspronkelijk bericht",
	"oorspronkelijke bericht",
	"doorgestuurd bericht",
	"oprindelig meddelelse",
	"original meddelelse",
	"videresendt meddelelse",
	"videresendt besked",
	"opprinnelig melding",
	"videresendt melding",
	"ursprungligt meddelande",
	"originalmeddelande",
	"vidarebefordrat meddelande",
	"alkuperäinen viesti",
	"välitetty viesti",
	"edelleenlähetetty viesti",
	"wiadomość oryginalna",
	"oryginalna wiadomość",
	"treść oryginalnej wiadomości",
	"wiadomość przekazana dalej",
	"przekazana wiadomość",
	"mensagem original",
	"mensagem encaminhada",
	"mensagem reencaminhada",
	"původní zpráva",
	"původní e-mail",
	"přeposlaná zpráva",
	"Исходное сообщение",
	"Пересылаемое сообщение",
	"Пересланное сообщение",
	"Перенаправленное сообщение",
	"元のメッセージ",
	"転送メッセージ",
	"原始邮件",
	"邮件原件",
	"转发的邮件",
	"转发邮件信息",
	"原始郵件",
	"轉寄的郵件",
};

/* With a colon behind them. */
static const char *const begins[] = {
	"begin forwarded message",
	"anfang der weitergeleiteten nachricht",
	"anfang der weitergeleiteten e-mail",
	"début du message réexpédié",
	"début du message transféré",
	"inicio del mensaje reenviado",
	"inizio messaggio inoltrato",
	"begin doorgestuurd bericht",
	"início da mensagem reenviada",
	"início da mensagem encaminhada",
	"vidarebefordrat brev",
	"vidarebefordrat mejl",
	"start på videresendt besked",
	"videresendt e-mail",
	"videresendt melding",
	"välitetty viesti alkaa",
	"začátek přeposlané zprávy",
	"początek przekazywanej wiadomości",
	"Начало переадресованного сообщения",
	"転送されたメッセージ",
	"下面是被转发的邮件",
};

/* First words of an introduction. */
static const char *const openings[] = {
	"on ",   "am ",   "le ",      "el ",     "il ",   "op ",  "em ",
	"a ",    "den ",  "dne ",     "w dniu ", "dnia ", "på ",  "mon,",
	"tue,",  "wed,",  "thu,",     "fri,",    "sat,",  "sun,", "at ",
	"* on ", "in a ", "quoting ", "В ",      "在",
};

/* Its verbs. */
static const char *const verbs[] = {
	"wrote",    "writes",      "schrieb",    "écrit",
	"escribió", "escribio",    "ha scritto", "schreef",
	"escreveu", "pisze",       "napisał",    "napisała",
	"skrev",    "kirjoitti",   "napsal",     "napsala",
	"пишет",    "написал",     "написала",   "писал",
	"写道",     "寫道",        "のメール",   "さんは書きました",
	"quoting",  "va escriure",
};

size_t
quote_blank(const char *text, size_t len)
{
	static const char *const wide[] = {
		"\xc2\xa0",     "\xc2\xad",     "\xe2\x80\x8b", "\xe2\x80\x8c",
		"\xe2\x80\x8d", "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xaf",
		"\xe2\x81\xa0", "\xe3\x80\x80", "\xef\xbb\xbf", "\xcd\x8f",
	};

	if (len == 0) {
		return 0;
	}
	if (*text == ' ' || (*text >= '\t' && *text <= '\r')) {
		return 1;
	}
	if ((unsigned char)*text < 0xc2) {
		return 0;
	}
	for (size_t i = 0; i < COUNT(wide); i++) {
		size_t n = strlen(wide[i]);

		if (n <= len && memcmp(text, wide[i], n) == 0) {
			return n;
		}
	}
	return 0;
}

static void
trim(const char **text, size_t *len)
{
	size_t n = quote_blank(*text, *len);

	while (n > 0) {
		*text += n;
		*len -= n;
		n = quote_blank(*text, *len);
	}
	while (*len > 0) {
		size_t k = *len < 3 ? *len : 3;

		for (n = k; n > 0; n--) {
			if (quote_blank(*text + *len - n, n) == n) {
				break;
			}
		}
		if (n == 0) {
			return;
		}
		*len -= n;
	}
}

static bool
equals(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

static bool
begins_with(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word);

	return n <= len && strncasecmp(text, word, n) == 0;
}

/* Octets of a colon, the wide one of Asia too. */
static size_t
colon(const char *text, size_t len)
{
	if (len > 0 && *text == ':') {
		return 1;
	}
	return len >= 3 && memcmp(text, "\xef\xbc\x9a", 3) == 0 ? 3 : 0;
}

/* What stands before the first colon, if that is soon. */
static bool
before_colon(const char *text, size_t len, size_t *len_r)
{
	for (size_t i = 0; i < len && i <= LABEL_MAX; i++) {
		if (colon(text + i, len - i) > 0) {
			*len_r = i;
			return true;
		}
	}
	return false;
}

unsigned
quote_label(const char *text, size_t len)
{
	trim(&text, &len);
	/* Bold, as turned into plain text. */
	while (len > 0 && *text == '*') {
		text++;
		len--;
	}
	if (!before_colon(text, len, &len)) {
		return 0;
	}
	while (len > 0 && text[len - 1] == '*') {
		len--;
	}
	trim(&text, &len);
	for (size_t i = 0; i < COUNT(labels); i++) {
		if (equals(text, len, labels[i].name)) {
			return labels[i].label;
		}
	}
	return 0;
}

/* A dash, "-" or one of Unicode's (U+2010 to U+2015). */
static size_t
dash(const char *text, size_t len)
{
	if (len > 0 && *text == '-') {
		return 1;
	}
	return len >= 3 && memcmp(text, "\xe2\x80", 2) == 0 &&
	                       (text[2] & 0xf8) == 0x90
	               ? 3
	               : 0;
}

static bool
is_begin(const char *text, size_t len)
{
	if (len > 0 && text[len - 1] == ':') {
		len--;
	} else if (len >= 3 && colon(text + len - 3, 3) == 3) {
		len -= 3;
	} else {
		return false;
	}
	trim(&text, &len);
	for (size_t i = 0; i < COUNT(begins); i++) {
		if (equals(text, len, begins[i])) {
			return true;
		}
	}
	return false;
}

bool
quote_is_bar(const char *text, size_t len)
{
	size_t dashes = 0;
	size_t n = 0;

	trim(&text, &len);
	if (len > QUOTE_LINE_MAX) {
		return false;
	}
	for (n = dash(text, len); n > 0; n = dash(text, len)) {
		text += n;
		len -= n;
		dashes++;
	}
	if (dashes < 2) {
		return dashes == 0 && is_begin(text, len);
	}
	while (len > 0 && (text[len - 1] == '-' ||
	                   (len >= 3 && dash(text + len - 3, 3) == 3))) {
		len -= text[len - 1] == '-' ? 1 : 3;
	}
	trim(&text, &len);
	for (size_t i = 0; i < COUNT(bars); i++) {
		if (equals(text, len, bars[i])) {
			return true;
		}
	}
	/* Notes: "-----NAME wrote: -----", "----- Forwarded by NAME"; Mutt:
	 * "----- Forwarded message from NAME". */
	return begins_with(text, len, "forwarded by ") ||
	       begins_with(text, len, "forwarded message from ") ||
	       (len > 6 && text[len - 1] == ':' && quote_has_verb(text, len));
}

bool
quote_is_opening(const char *text, size_t len)
{
	trim(&text, &len);
	for (size_t i = 0; i < COUNT(openings); i++) {
		if (begins_with(text, len, openings[i])) {
			return true;
		}
	}
	return false;
}

/* Letters of ASCII only: enough to tell "wrote" from "rewroten". */
static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
quote_has_verb(const char *text, size_t len)
{
	for (size_t i = 0; i < COUNT(verbs); i++) {
		size_t n = strlen(verbs[i]);
		const char *p = memmem(text, len, verbs[i], n);

		if (p != NULL && (p == text || !is_letter(p[-1])) &&
		    (p + n == text + len || !is_letter(p[n]))) {
			return true;
		}
	}
	return false;
}

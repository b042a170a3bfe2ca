#include "cli/unit_text.h"

#include <string.h>

static void put_plain(struct buf *out, char c, bool command)
{
	if (c == '%' || (c == '$' && command))
		buf_putc(out, c);
	buf_putc(out, c);
}

void unit_word(struct buf *out, const char *word, bool command)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:=@,+-";
	bool quoted = !*word || word[strspn(word, plain)];
	if (quoted)
		buf_putc(out, '"');
	for (; *word; word++) {
		unsigned char c = (unsigned char)*word;
		if (c < ' ' || c == 0x7f) {
			buf_printf(out, "\\x%02x", c);
			continue;
		}
		if (c == '"' || c == '\\')
			buf_putc(out, '\\');
		put_plain(out, *word, command);
	}
	if (quoted)
		buf_putc(out, '"');
}

bool unit_value_plain(const char *text)
{
	size_t len = strlen(text);
	if (len == 0 || text[0] == ' ' || text[len - 1] == ' ' || text[len - 1] == '\\')
		return false;
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

void unit_value(struct buf *out, const char *text, bool command)
{
	for (; *text; text++)
		put_plain(out, *text, command);
}

#include "cli/terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"

static struct termios saved;
static bool is_raw;

void terminal_make_raw(void)
{
	static bool registered;
	struct termios raw;
	if (is_raw || tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	raw = saved;
	cfmakeraw(&raw);
	if (!registered) {
		atexit(terminal_restore);
		registered = true;
	}
	is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void terminal_restore(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	is_raw = false;
}

bool terminal_size(unsigned short *ret_rows, unsigned short *ret_columns)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 &&
	    ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
		return false;
	*ret_rows = size.ws_row;
	*ret_columns = size.ws_col;
	return true;
}

/* One key of the list; -1: no key. */
static int parse_key(const char *text, size_t len)
{
	static const char control[] = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
	if (len == 1)
		return (unsigned char)*text;
	if (len != 6 || memcmp(text, "ctrl-", 5) != 0 || !text[5])
		return -1;
	const char *found = strchr(control, text[5]);
	return found ? (int)(found - control) : -1;
}

int detach_keys_parse(const char *text, struct detach_keys *ret, struct masu_error *err)
{
	struct detach_keys keys = { 0 };
	for (const char *p = text; *text;) {
		size_t len = strcspn(p, ",");
		int key = parse_key(p, len);
		if (key < 0 || keys.length == DETACH_KEYS_MAX) {
			error_set(err, -EINVAL, "invalid detach keys (%.100s): %s", text,
				  key < 0 ? "use single characters or ctrl-<value>, by commas"
					  : "too many keys");
			return error_exit_status(err, 125);
		}
		keys.sequence[keys.length++] = (unsigned char)key;
		p += len;
		if (!*p++)
			break;
	}
	*ret = keys;
	return 0;
}

bool detach_keys_filter(struct detach_keys *keys, const unsigned char *in, size_t len,
			unsigned char *out, size_t *ret_len)
{
	size_t used = 0;
	for (size_t i = 0; i < len; i++) {
		if (keys->length && in[i] != keys->sequence[keys->matched]) {
			memcpy(out + used, keys->sequence, keys->matched);
			used += keys->matched;
			keys->matched = 0;
		}
		if (keys->length && in[i] == keys->sequence[keys->matched]) {
			if (++keys->matched == keys->length) {
				keys->matched = 0;
				*ret_len = used;
				return true;
			}
			continue;
		}
		out[used++] = in[i];
	}
	*ret_len = used;
	return false;
}

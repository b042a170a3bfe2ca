#include "exec/native/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "exec/native/lookup.h"
#include "sys/fs.h"

#define PASSWD_MAX_BYTES (1u << 20)
#define ADDED_MAX	 3

/* Field @index of a ':'-separated line of @len bytes. */
static const char *field(const char *line, size_t len, int index, size_t *ret_len)
{
	const char *end = line + len;
	for (; index > 0; index--) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return NULL;
		line++;
	}
	const char *colon = memchr(line, ':', (size_t)(end - line));
	*ret_len = (size_t)((colon ? colon : end) - line);
	return line;
}

/* The sixth field of the line of /etc/passwd whose third is @uid: a hostile file, read as data. */
static char *home_of(uint32_t uid)
{
	_cleanup_buf_ struct buf text;
	char wanted[16];
	buf_init(&text, PASSWD_MAX_BYTES + 1);
	str_format(wanted, sizeof(wanted), "%u", uid);
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || fs_read_in(root, "etc/passwd", PASSWD_MAX_BYTES, &text) < 0)
		return NULL;
	const char *line = buf_str(&text);
	while (*line) {
		size_t len = strcspn(line, "\n"), id_len = 0, home_len = 0;
		const char *id = field(line, len, 2, &id_len);
		const char *home = field(line, len, 5, &home_len);
		if (id && home && id_len == strlen(wanted) && memcmp(id, wanted, id_len) == 0 &&
		    home_len > 0 && home[0] == '/')
			return strndup(home, home_len);
		line += len + (line[len] == '\n');
	}
	return NULL;
}

int environment_build(const struct oci_process *process, int listen_fds, char ***ret,
		      struct masu_error *err)
{
	size_t count = strv_length(process->env);
	bool has_home = lookup_env(process->env, "HOME") != NULL;
	if (has_home && listen_fds == 0) {
		*ret = process->env;
		return 0;
	}
	char **env = calloc(count + ADDED_MAX + 1, sizeof(*env));
	bool failed = !env;
	if (env && count)
		memcpy(env, process->env, count * sizeof(*env));
	if (env && !has_home) {
		_cleanup_free_ char *home = home_of(process->uid);
		failed |= asprintf(&env[count++], "HOME=%s", home ? home : "/") < 0;
	}
	if (env && !failed && listen_fds > 0)
		failed = asprintf(&env[count++], "LISTEN_FDS=%d", listen_fds) < 0 ||
			 asprintf(&env[count++], "LISTEN_PID=%d", (int)getpid()) < 0;
	if (failed)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = env;
	return 0;
}

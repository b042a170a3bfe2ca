#include "exec/native/lookup.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define DEFAULT_PATH "/bin:/usr/bin"

const char *lookup_env(char *const *env, const char *name)
{
	size_t len = strlen(name);
	for (; env && *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

/* 0, or why @path cannot be executed. */
static int executable(const char *path)
{
	struct stat st;
	/* lint: ok, the container's root is the root by now */
	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return access(path, X_OK) < 0 ? -errno : 0;
}

static int fail(struct masu_error *err, int code, const char *name, const char *what)
{
	error_set(err, code, "exec: \"%s\": %s", name, what);
	return error_exit_status(err, code == -ENOENT || code == -ENOTDIR ? 127 : 126);
}

static const char *reason(int code, bool searched)
{
	switch (-code) {
	case ENOENT:
	case ENOTDIR:
		return searched ? "executable file not found in $PATH"
				: "no such file or directory";
	case EISDIR:
		return "is a directory";
	case EACCES:
		return "permission denied";
	}
	return strerror(-code);
}

static int copy_path(const char *dir, size_t dir_len, const char *name, char *ret, size_t size)
{
	/* An empty element means the working directory. */
	if (dir_len == 0)
		return str_format(ret, size, "./%s", name);
	return str_format(ret, size, "%.*s/%s", (int)dir_len, dir, name);
}

int lookup_program(const char *name, char *const *env, char *ret, size_t size,
		   struct masu_error *err)
{
	if (strchr(name, '/')) {
		int r = executable(name);
		if (r == -ENOENT || r == -ENOTDIR) {
			error_set(err, r, "exec: \"%s\": stat %s: no such file or directory", name,
				  name);
			return error_exit_status(err, 127);
		}
		if (r == 0)
			r = str_format(ret, size, "%s", name);
		return r < 0 ? fail(err, r, name, reason(r, false)) : 0;
	}
	const char *path = lookup_env(env, "PATH");
	int failure = -ENOENT;
	for (const char *at = path ? path : DEFAULT_PATH; *name; at++) {
		size_t len = strcspn(at, ":");
		int r = copy_path(at, len, name, ret, size);
		if (r == 0)
			r = executable(ret);
		if (r == 0)
			return 0;
		if (r == -EACCES)
			failure = r; /* as execvp: search on, but remember it */
		at += len;
		if (*at == '\0')
			break;
	}
	return fail(err, failure, name, reason(failure, true));
}

int lookup_exec_error(const char *path, int code, struct masu_error *err)
{
	if (code == -ENOENT)
		/* The file was there a moment ago: it is its interpreter that is missing. */
		return fail(err, code, path,
			    "no such file or directory (is its interpreter there?)");
	if (code == -ENOEXEC)
		return fail(err, code, path, "exec format error");
	return fail(err, code, path, reason(code, false));
}

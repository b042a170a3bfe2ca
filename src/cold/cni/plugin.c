#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/cni/cni.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define PATHS "/usr/lib/cni:/opt/cni/bin"

static const char *search_path(void)
{
	const char *path = getenv("CNI_PATH");
	return path && *path ? path : PATHS;
}

int cni_plugin_find(const char *type, char ret[PATH_MAX], struct masu_error *err)
{
	for (const char *at = search_path(); *at;) {
		size_t len = strcspn(at, ":");
		if (len && str_format(ret, PATH_MAX, "%.*s/%s", (int)len, at, type) == 0 &&
		    access(ret, X_OK) == 0)
			return 0;
		at += len + (at[len] == ':');
	}
	return error_set(err, -ENOENT, "CNI plugin %.60s is not in %.200s", type, search_path());
}

/* What identifies a request to those plugins that take no capabilities for it. */
static const char *arguments(const struct cni *cni)
{
	const char *ip, *mac;
	_cleanup_buf_ struct buf text;
	buf_init(&text, 1024);
	buf_puts(&text, "IgnoreUnknown=1");
	if (json_string(json_get(cni->request, "ip"), &ip))
		buf_printf(&text, ";IP=%s", ip);
	if (json_string(json_get(cni->request, "mac"), &mac))
		buf_printf(&text, ";MAC=%s", mac);
	return buf_error(&text) ? NULL : arena_strdup(cni->arena, buf_str(&text));
}

static void run(const struct cni *cni, const char *command, const char *path, const char *args,
		const int fds[3])
{
	const char *search = getenv("PATH");
	char *const environment[] = {
		arena_printf(cni->arena, "PATH=%s",
			     search ? search : "/usr/sbin:/usr/bin:/sbin:/bin"),
		arena_printf(cni->arena, "CNI_COMMAND=%s", command),
		arena_printf(cni->arena, "CNI_CONTAINERID=%s", cni->container),
		arena_printf(cni->arena, "CNI_NETNS=%s", cni->netns),
		arena_printf(cni->arena, "CNI_IFNAME=%s", cni->interface),
		arena_printf(cni->arena, "CNI_ARGS=%s", args),
		arena_printf(cni->arena, "CNI_PATH=%s", search_path()),
		NULL
	};
	char *const argv[] = { (char *)path, NULL };
	/* Nobody undoes what it would do once we are gone. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(127);
	for (size_t i = 0; i + 1 < ARRAY_SIZE(environment); i++)
		if (!environment[i])
			_exit(127);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(127);
	sys_close_range(3, ~0u, 0);
	execve(path, argv, environment);
	_exit(127);
}

/* Its exit status as wait(2) has it; killed where it takes too long. */
static int wait_for(pid_t pid, const char *type, struct masu_error *err)
{
	int status;
	_cleanup_close_ int fd = sys_pidfd_open(pid, 0);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int ready = fd < 0 ? 0 : poll(&poll_fd, 1, CNI_SECONDS * 1000);
	if (ready <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, -errno, "CNI plugin %s", type);
	return ready > 0 ? status
			 : error_set(err, -ETIMEDOUT, "CNI plugin %s: no answer within %d seconds",
				     type, CNI_SECONDS);
}

/* The plugin's own words: {"code", "msg", "details"}, or what it wrote to stderr. */
static int complaint(const struct cni *cni, const char *type, const struct buf *answer,
		     const struct buf *said, struct masu_error *err)
{
	const struct json *document;
	const char *message, *details = "";
	if (json_parse(cni->arena, answer->data, answer->len, &document, NULL) == 0 &&
	    json_string(json_get(document, "msg"), &message)) {
		json_string(json_get(document, "details"), &details);
		return error_set(err, -EIO, "CNI plugin %s: %.300s%s%.300s", type, message,
				 *details ? "; " : "", details);
	}
	const char *text = said->len ? buf_str(said) : buf_str(answer);
	return error_set(err, -EIO, "CNI plugin %s failed%s%.*s", type, *text ? ": " : "",
			 (int)(strcspn(text, "\n") > 300 ? 300 : strcspn(text, "\n")), text);
}

static int take(int fd, struct buf *ret)
{
	char name[FS_PROC_FD_MAX];
	return fs_read_at(AT_FDCWD, fs_proc_fd(fd, name), CNI_RESULT_MAX, ret);
}

int cni_plugin_run(const struct cni *cni, const char *command, const struct json *plugin,
		   const struct buf *config, struct buf *ret, struct masu_error *err)
{
	char path[PATH_MAX];
	const char *type = "", *args = arguments(cni);
	_cleanup_buf_ struct buf said;
	buf_init(&said, CNI_RESULT_MAX + 1);
	json_string(json_get(plugin, "type"), &type);
	int r = cni_plugin_find(type, path, err);
	if (r < 0)
		return r;
	_cleanup_close_ int in = memfd_create("cni-config", MFD_CLOEXEC);
	_cleanup_close_ int out = memfd_create("cni-result", MFD_CLOEXEC);
	_cleanup_close_ int complaints = memfd_create("cni-stderr", MFD_CLOEXEC);
	if (!args)
		return error_set(err, -ENOMEM, "out of memory");
	r = in < 0 || out < 0 || complaints < 0 ? -errno
						: fs_write_all(in, config->data, config->len);
	if (r < 0 || lseek(in, 0, SEEK_SET) < 0)
		return error_errno(err, r < 0 ? r : -errno, "CNI plugin %s", type);
	/* Above those that it gets. */
	const int fds[3] = { fcntl(in, F_DUPFD_CLOEXEC, 10), fcntl(out, F_DUPFD_CLOEXEC, 10),
			     fcntl(complaints, F_DUPFD_CLOEXEC, 10) };
	pid_t pid = fork();
	if (pid == 0)
		run(cni, command, path, args, fds);
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	int status = pid < 0 ? error_errno(err, -errno, "CNI plugin %s", type)
			     : wait_for(pid, type, err);
	if (status < 0)
		return status;
	r = take(out, ret);
	if (r == 0)
		r = take(complaints, &said);
	if (r < 0)
		return error_errno(err, r, "CNI plugin %s: what it writes", type);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
		       ? 0
		       : complaint(cni, type, ret, &said, err);
}

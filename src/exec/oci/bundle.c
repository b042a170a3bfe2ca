#include "exec/oci/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "exec/more/program.h"
#include "exec/oci/names.h"
#include "json/json.h"
#include "sys/fs.h"

#define LOG_MAX (64 << 10)

int oci_dir_open(const char *state_dir, struct oci_dir *ret, struct masu_error *err)
{
	*ret = (struct oci_dir) { .fd = -1 };
	arena_init(&ret->arena, 0);
	ret->fd = driver_directory(state_dir, "oci", &ret->arena, &ret->path, err);
	if (ret->fd < 0)
		return ret->fd;
	return str_format(ret->short_path, sizeof(ret->short_path), "/proc/%d/fd/%d", getpid(),
			  ret->fd);
}

void oci_dir_close(struct oci_dir *dir)
{
	cleanup_close(&dir->fd);
	arena_free(&dir->arena);
}

static int write_text(struct oci_dir *dir, const char *name, struct buf *text,
		      struct masu_error *err)
{
	int r = buf_error(text);
	if (r == 0)
		r = fs_rewrite(dir->fd, name, buf_str(text), text->len, 0600);
	return r < 0 ? error_errno(err, r, "%s/%s", dir->path, name) : 0;
}

/* The mounts with what is known by descriptor as a path that leads to it. */
static int path_mounts(struct oci_dir *dir, struct oci_spec *spec)
{
	struct oci_mount *mounts = arena_array(&dir->arena, struct oci_mount, spec->mount_count);
	if (!mounts)
		return -ENOMEM;
	for (size_t i = 0; i < spec->mount_count; i++) {
		mounts[i] = spec->mounts[i];
		if (mounts[i].source_fd)
			mounts[i].source = arena_printf(&dir->arena, "/proc/%d/fd/%d", getpid(),
							mounts[i].source_fd);
		if (!mounts[i].source && spec->mounts[i].source)
			return -ENOMEM;
	}
	spec->mounts = mounts;
	return 0;
}

int bundle_write(struct oci_dir *dir, const struct exec_request *request, const char *root,
		 struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	struct oci_spec spec = *request->spec;
	struct oci_ns *network = &spec.namespaces[OCI_NS_NETWORK];
	int r = path_mounts(dir, &spec);
	if (r == 0 && request->network_ns_fd >= 0) {
		network->present = true;
		network->path = arena_printf(&dir->arena, "/proc/%d/fd/%d", getpid(),
					     request->network_ns_fd);
		r = network->path ? 0 : -ENOMEM;
	}
	if (r < 0)
		return error_set(err, r, "out of memory");
	spec.root_path = root;
	/* Runtimes refuse a version that is later than theirs, whatever is used of it. */
	spec.version = "1.0.2";
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	oci_spec_write(&w, &spec);
	return write_text(dir, "config.json", &text, err);
}

int bundle_write_process(struct oci_dir *dir, const struct oci_process *process, const char *name,
			 struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	oci_process_write(&w, process);
	return write_text(dir, name, &text, err);
}

/* "not found" of a program, said by runc and crun in words of their own. */
static int status_of(const char *message)
{
	static const char *const not_found[] = { "executable file", "no such file or directory",
						 "No such file or directory" };
	static const char *const not_run[] = { "permission denied", "Permission denied",
					       "is a directory", "exec format error",
					       "Exec format error" };
	for (size_t i = 0; i < ARRAY_SIZE(not_run); i++)
		if (strstr(message, not_run[i]))
			return 126;
	for (size_t i = 0; i < ARRAY_SIZE(not_found); i++)
		if (strstr(message, not_found[i]))
			return 127;
	return 0;
}

/* The last line of the log that is an error's: {"msg": "…", "level": "error", …}. */
static const char *last_error(struct oci_dir *dir, const struct buf *log)
{
	const char *found = NULL;
	for (const char *line = buf_str(log); *line; line += strspn(line, "\n")) {
		const struct json *entry;
		const char *message;
		size_t len = strcspn(line, "\n");
		if (json_parse(&dir->arena, line, len, &entry, NULL) == 0 &&
		    json_string(json_get(entry, "msg"), &message) && *message)
			found = message;
		line += len;
	}
	return found;
}

int bundle_failure(struct oci_dir *dir, const char *driver, const char *verb,
		   struct masu_error *err)
{
	_cleanup_buf_ struct buf log;
	buf_init(&log, LOG_MAX);
	const char *message =
		fs_read_at(dir->fd, OCI_LOG, LOG_MAX, &log) == 0 ? last_error(dir, &log) : NULL;
	if (!message)
		return error_set(err, -EIO, "%s: %s failed and did not say why", driver, verb);
	error_set(err, -EIO, "%s: %s: %.600s", driver, verb, message);
	int status = status_of(message);
	if (status)
		error_exit_status(err, status);
	return -EIO;
}

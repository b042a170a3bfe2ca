/*
 * The container's process starts as masu-more, which liblxc runs with nothing but two descriptors:
 * its program, and the door. What it is to become is in files of memory that lie behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "exec/lxc/lxc.h"
#include "exec/native/sync.h"
#include "json/json.h"
#include "sys/fs.h"

#define TEXT_MAX (16 << 20)

/* The value of each message: what its descriptor is. */
enum { PART_ID, PART_SPEC, PART_PROCESS, PART_FILTER, PART_PROC, PART_STDIO, PART_END = 16 };

static int text_file(const struct buf *text)
{
	_cleanup_close_ int fd = memfd_create("masu-lxc", MFD_CLOEXEC);
	int r = buf_error(text);
	if (fd < 0)
		return -errno;
	if (r == 0)
		r = fs_write_all(fd, buf_str(text), text->len);
	return r < 0 ? r : take_fd(&fd);
}

/* Sends @fd and closes it. */
static int send_part(int link, int part, int fd)
{
	_cleanup_close_ int sent = fd;
	return fd < 0 ? fd : sync_send(link, SYNC_GO, part, sent);
}

static int send_texts(int link, const struct parcel *parcel)
{
	_cleanup_buf_ struct buf id, spec, process;
	struct json_writer w;
	struct oci_spec document = *parcel->spec;
	/* Of a running container the engine makes only a part of it. */
	document.version = "1.0.2";
	document.has_root = true;
	document.root_path = "/";
	buf_init(&id, 0);
	buf_init(&spec, 0);
	buf_init(&process, 0);
	buf_puts(&id, parcel->id);
	json_writer_init(&w, &spec, false);
	oci_spec_write(&w, &document);
	int r = send_part(link, PART_ID, text_file(&id));
	if (r == 0)
		r = send_part(link, PART_SPEC, text_file(&spec));
	if (r < 0 || !parcel->process)
		return r;
	json_writer_init(&w, &process, false);
	oci_process_write(&w, parcel->process);
	return send_part(link, PART_PROCESS, text_file(&process));
}

static int send_files(int link, const struct parcel *parcel)
{
	int r = 0;
	if (parcel->filter) {
		_cleanup_close_ int fd = memfd_create("masu-filter", MFD_CLOEXEC);
		r = fd < 0 ? -errno : seccomp_export(parcel->filter, fd);
		if (r == 0)
			r = sync_send(link, SYNC_GO, PART_FILTER, fd);
	}
	if (r == 0)
		r = send_part(link, PART_PROC, open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
	for (int i = 0; i < 3 && r == 0; i++)
		if (parcel->stdio[i] >= 0)
			r = sync_send(link, SYNC_GO, PART_STDIO + i, parcel->stdio[i]);
	return r < 0 ? r : sync_send(link, SYNC_GO, PART_END, -1);
}

int parcel_send(const struct parcel *parcel, int *ret_link, int *ret_door, struct masu_error *err)
{
	int link[2], door[2];
	int r = sync_pair(link);
	if (r < 0)
		return error_errno(err, r, "cannot make a socket pair");
	_cleanup_close_ int ours = link[0];
	_cleanup_close_ int theirs = link[1];
	if ((r = sync_pair(door)) < 0)
		return error_errno(err, r, "cannot make a socket pair");
	_cleanup_close_ int outside = door[0];
	_cleanup_close_ int inside = door[1];
	r = send_texts(ours, parcel);
	if (r == 0)
		r = send_files(ours, parcel);
	if (r == 0)
		r = sync_send(outside, SYNC_GO, 0, theirs);
	if (r < 0)
		return error_errno(err, r, "cannot tell what the process is to be");
	*ret_link = take_fd(&ours);
	*ret_door = take_fd(&inside);
	return 0;
}

/* ---- in the container ---- */

static int take_text(struct arena *arena, int fd, const char **ret, size_t *ret_len)
{
	off_t size = lseek(fd, 0, SEEK_END);
	if (size < 0 || size > TEXT_MAX)
		return -E2BIG;
	char *text = arena_alloc(arena, (size_t)size + 1);
	if (!text)
		return -ENOMEM;
	if (pread(fd, text, (size_t)size, 0) != size)
		return -EIO;
	text[size] = '\0';
	*ret = text;
	*ret_len = (size_t)size;
	return 0;
}

static int take_part(struct arena *arena, int part, int *fd, int *filter_fd, struct parcel *parcel,
		     int *proc_fd, struct masu_error *err)
{
	const char *text;
	size_t len;
	if (part >= PART_STDIO && part < PART_STDIO + 3) {
		parcel->stdio[part - PART_STDIO] = take_fd(fd);
		return 0;
	}
	if (part == PART_FILTER || part == PART_PROC) {
		*(part == PART_PROC ? proc_fd : filter_fd) = take_fd(fd);
		return 0;
	}
	int r = take_text(arena, *fd, &text, &len);
	if (r < 0)
		return error_errno(err, r, "what the process is to be");
	if (part == PART_ID) {
		parcel->id = text;
		return 0;
	}
	if (part == PART_SPEC) {
		struct oci_spec *spec = arena_new(arena, struct oci_spec);
		parcel->spec = spec;
		return spec ? oci_spec_parse(arena, text, len, spec, err) : -ENOMEM;
	}
	struct oci_process *process = arena_new(arena, struct oci_process);
	parcel->process = process;
	return process ? oci_process_parse(arena, text, len, process, err) : -ENOMEM;
}

static int take_parts(int link, struct arena *arena, int *filter_fd, struct parcel *parcel,
		      int *proc_fd, struct masu_error *err)
{
	struct sync_message message;
	int r;
	while ((r = sync_receive(link, &message, err)) == 0 && message.value != PART_END) {
		_cleanup_close_ int fd = message.passed_fd;
		if (fd < 0)
			return error_set(err, -EPROTO, "a part of the process is missing");
		r = take_part(arena, message.value, &fd, filter_fd, parcel, proc_fd, err);
		if (r < 0)
			return r;
	}
	if (r == 0 && (!parcel->spec || !parcel->id))
		return error_set(err, -EPROTO, "a part of the process is missing");
	return r;
}

int parcel_receive(int door, struct arena *arena, int *ret_link, struct parcel *ret,
		   int *ret_proc_fd, struct masu_error *err)
{
	struct sync_message message;
	_cleanup_close_ int filter_fd = -1;
	*ret = (struct parcel) { .stdio = { -1, -1, -1 } };
	int r = sync_receive(door, &message, err);
	if (r < 0)
		return r;
	if (message.passed_fd < 0)
		return error_set(err, -EPROTO, "nobody is behind the door");
	*ret_link = message.passed_fd;
	r = take_parts(*ret_link, arena, &filter_fd, ret, ret_proc_fd, err);
	if (r == 0 && filter_fd >= 0)
		r = seccomp_import(arena, filter_fd, &ret->spec->seccomp, &ret->filter, err);
	return r;
}

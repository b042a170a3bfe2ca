#include "exec/native/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "exec/exec.h"
#include "json/json.h"
#include "sys/unix_socket.h"

int listener_check(const struct oci_seccomp *seccomp, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct json *section;
	arena_init(&arena, 0);
	int r = json_parse(&arena, seccomp->source, seccomp->source_len, &section, err);
	if (r < 0)
		return r;
	bool notifies = false;
	json_foreach (rule, json_get(section, "syscalls")) {
		const char *action, *name;
		if (!json_string(json_get(rule, "action"), &action) ||
		    !streq(action, "SCMP_ACT_NOTIFY"))
			continue;
		notifies = true;
		json_foreach (item, json_get(rule, "names")) {
			if (json_string(item, &name) && streq(name, "sendmsg"))
				return error_set(
					err, -ENOTSUP,
					"linux.seccomp: SCMP_ACT_NOTIFY cannot be used for "
					"sendmsg: it is what hands the listener over");
		}
	}
	if (notifies && !seccomp->listener_path)
		return error_set(err, -EINVAL, "linux.seccomp: SCMP_ACT_NOTIFY needs listenerPath");
	return 0;
}

static int process_state(const struct listener_context *context, struct buf *out)
{
	const struct oci_spec *spec = context->spec;
	_cleanup_buf_ struct buf state;
	buf_init(&state, 0);
	int r = exec_state_json(&state, spec, context->id, context->bundle, context->status,
				context->init_pid);
	if (r < 0)
		return r;
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_field_string(&w, "ociVersion", spec->version);
	json_key(&w, "fds");
	json_begin_array(&w);
	json_put_string(&w, "seccompFd");
	json_end_array(&w);
	json_field_i64(&w, "pid", context->pid);
	if (spec->seccomp.listener_metadata)
		json_field_string(&w, "metadata", spec->seccomp.listener_metadata);
	json_key(&w, "state");
	_cleanup_arena_ struct arena arena;
	const struct json *parsed;
	arena_init(&arena, 0);
	r = json_parse(&arena, buf_str(&state), state.len, &parsed, NULL);
	if (r < 0)
		return r;
	json_put_value(&w, parsed);
	json_end_object(&w);
	return buf_error(out);
}

int listener_send(const struct listener_context *context, int notify_fd, struct masu_error *err)
{
	const char *path = context->spec->seccomp.listener_path;
	_cleanup_close_ int fd = -1;
	_cleanup_buf_ struct buf state;
	buf_init(&state, 0);
	if (!path)
		return error_set(err, -EINVAL, "linux.seccomp: a listener needs listenerPath");
	int r = process_state(context, &state);
	if (r == 0)
		r = unix_connect(AT_FDCWD, path, SOCK_STREAM, &fd);
	if (r == 0)
		r = unix_send_fd(fd, buf_str(&state), state.len, notify_fd);
	return r < 0 ? error_errno(err, r, "linux.seccomp.listenerPath %s", path) : 0;
}

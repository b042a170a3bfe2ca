/* Reads the request, connects to the right bus, calls, answers. See systemd.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/systemd/systemd.h"

#define REQUEST_MAX (4u << 20)

static int read_request(struct arena *arena, struct buf *text, const struct json **ret,
			struct masu_error *err)
{
	buf_init(text, REQUEST_MAX);
	for (;;) {
		int r = buf_reserve(text, 65536);
		if (r < 0)
			return error_errno(err, r, "request");
		ssize_t got = read(STDIN_FILENO, text->data + text->len, 65536);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, -errno, "request");
		if (got == 0)
			break;
		text->len += (size_t)got;
	}
	return json_parse(arena, buf_str(text), text->len, ret, err);
}

static int answer(const char *group, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	struct json_writer w;
	json_writer_init(&w, &out, false);
	json_begin_object(&w);
	json_field_string(&w, "controlGroup", group);
	json_end_object(&w);
	if (buf_error(&out) || puts(buf_str(&out)) < 0 || fflush(stdout) < 0)
		return error_set(err, -EIO, "answer cannot be written");
	return 0;
}

static int serve(sd_bus *bus, const struct json *request, struct masu_error *err)
{
	const char *verb;
	if (!json_string(json_get(request, "verb"), &verb))
		return error_set(err, -EINVAL, "request without a verb");
	if (streq(verb, "set"))
		return unit_set(bus, request, err);
	if (streq(verb, "stop"))
		return unit_stop(bus, request, err);
	if (!streq(verb, "start"))
		return error_set(err, -EINVAL, "request with the unknown verb \"%s\"", verb);
	char *group = NULL;
	int r = unit_start(bus, request, &group, err);
	if (r == 0)
		r = answer(group, err);
	free(group);
	return r;
}

int main(void)
{
	_cleanup_arena_ struct arena arena;
	_cleanup_buf_ struct buf text;
	arena_init(&arena, 0);
	struct masu_error err = { 0 };
	const struct json *request;
	bool user = false;
	sd_bus *bus = NULL;
	int r = read_request(&arena, &text, &request, &err);
	if (r == 0) {
		json_bool(json_get(request, "user"), &user);
		r = user ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
		if (r < 0)
			error_errno(&err, r,
				    "no connection to the %s bus; is systemd running here? use "
				    "cgroupfs otherwise",
				    user ? "user" : "system");
	}
	if (r >= 0)
		r = serve(bus, request, &err);
	sd_bus_flush_close_unref(bus);
	if (r >= 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "%s\n", err.message);
	return EXIT_FAILURE;
}

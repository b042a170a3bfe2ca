/* `masu oci list` and `ps`. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "base/table.h"
#include "cli/oci.h"
#include "sys/fs.h"

struct format_options {
	const char *format;
	bool quiet;
};

static const struct cli_option list_options[] = {
	CLI_OPT(struct format_options, format, "format", 'f', CLI_STRING, "table|json",
		"How to print (default table)"),
	CLI_OPT(struct format_options, quiet, "quiet", 'q', CLI_BOOL, NULL, "Only the ids"),
};
static const struct cli_option ps_options[] = {
	CLI_OPT(struct format_options, format, "format", 'f', CLI_STRING, "table|json",
		"How to print (default table)"),
};

static int parse_format(const struct format_options *options, bool *ret_json,
			struct masu_error *err)
{
	const char *format = options->format;
	*ret_json = format && streq(format, "json");
	if (format && !*ret_json && !streq(format, "table"))
		return error_set(err, -EINVAL, "--format: \"%s\" is neither table nor json",
				 format);
	return 0;
}

static int list_row(struct table *table, const struct oci_container *container,
		    enum oci_status status)
{
	char pid[16];
	str_format(pid, sizeof(pid), "%d", status == OCI_STOPPED ? 0 : (int)container->pid);
	const char *cells[] = { container->id,
				pid,
				oci_status_name(status),
				container->bundle,
				container->created ? container->created : "",
				container->owner ? container->owner : "" };
	return table_row(table, cells);
}

static int list_run(struct cli_context *context, void *opaque, int argc, char **argv,
		    struct masu_error *err)
{
	static const char *const headings[] = { "ID",	   "PID",   "STATUS", "BUNDLE",
						"CREATED", "OWNER", NULL };
	const struct format_options *options = opaque;
	const char **ids = NULL;
	size_t count = 0;
	bool json;
	int r = parse_format(options, &json, err);
	if (r == 0)
		r = oci_list_ids(&ids, &count, err);
	if (r < 0)
		return r;
	_cleanup_table_ struct table *table = table_new(headings);
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
		struct masu_error gone = { 0 };
		enum oci_status status;
		/* One that is half made or damaged does not hide the others. */
		if (oci_load(ids[i], false, &container, &gone) < 0 || container.pid == 0 ||
		    oci_status(&container, &status, &gone) < 0)
			continue;
		/* What a killed creation left is no container. */
		if (!container.committed && status == OCI_STOPPED)
			continue;
		if (options->quiet)
			puts(ids[i]);
		else if (json)
			oci_put_state(&w, &container, status);
		else if (!table || list_row(table, &container, status) < 0)
			return error_set(err, -ENOMEM, "out of memory");
	}
	json_end_array(&w);
	buf_putc(&text, '\n');
	if (options->quiet)
		return 0;
	if (json)
		return fs_write_all(STDOUT_FILENO, buf_str(&text), text.len);
	table_print(table, stdout, false);
	return 0;
}

static int ps_run(struct cli_context *context, void *opaque, int argc, char **argv,
		  struct masu_error *err)
{
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	pid_t *pids = NULL;
	size_t count = 0;
	bool json;
	int r = parse_format(opaque, &json, err);
	if (r == 0)
		r = oci_load(argv[0], false, &container, err);
	if (r == 0)
		r = oci_cgroup(&container, &cgroup, err);
	if (r < 0)
		return r;
	if (!cgroup)
		return error_set(err, -ENOTSUP,
				 "container %s has no cgroup to tell its processes by", argv[0]);
	r = cgroup_pids(cgroup, context->arena, &pids, &count, err);
	if (r < 0)
		return r;
	if (!json)
		puts("PID");
	for (size_t i = 0; i < count; i++)
		printf(json ? "%s%d" : "%s%d\n", json ? i ? "," : "[" : "", (int)pids[i]);
	if (json)
		puts(count ? "]" : "[]");
	return 0;
}

const struct cli_command oci_list_command = {
	.name = "list",
	.synopsis = "[OPTIONS]",
	.summary = "List the containers under this root",
	.options = list_options,
	.option_count = ARRAY_SIZE(list_options),
	.options_size = sizeof(struct format_options),
	CLI_MORE(list_run),
};

const struct cli_command oci_ps_command = {
	.name = "ps",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "List the pids of a container's processes",
	.options = ps_options,
	.option_count = ARRAY_SIZE(ps_options),
	.options_size = sizeof(struct format_options),
	CLI_MORE(ps_run),
	.min_args = 1,
	.max_args = 1,
};

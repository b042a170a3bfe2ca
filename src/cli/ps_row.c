#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/human.h"
#include "base/str.h"
#include "cli/ps.h"

#define SHORT_ID	12
#define COMMAND_COLUMNS 20

static const char *ago(const char *rfc3339, char ret[HUMAN_MAX])
{
	int64_t then;
	if (!rfc3339 || time_parse_rfc3339(rfc3339, &then) < 0)
		return "";
	return human_duration((int64_t)time(NULL) - then, ret);
}

static void put_status(const struct container *container, struct buf *out)
{
	char when[HUMAN_MAX];
	switch (container->status) {
	case CONTAINER_RUNNING:
		buf_printf(out, "Up %s", ago(container->started, when));
		break;
	case CONTAINER_PAUSED:
		buf_printf(out, "Up %s (Paused)", ago(container->started, when));
		break;
	case CONTAINER_RESTARTING:
		buf_printf(out, "Restarting (%d) %s ago", container->exit_code,
			   ago(container->finished, when));
		break;
	case CONTAINER_EXITED:
		buf_printf(out, "Exited (%d) %s ago", container->exit_code,
			   ago(container->finished, when));
		break;
	case CONTAINER_CREATED:
		buf_puts(out, "Created");
		break;
	case CONTAINER_REMOVING:
		buf_puts(out, "Removal In Progress");
		break;
	case CONTAINER_DEAD:
		buf_puts(out, "Dead");
		break;
	}
}

/* Cut to so many characters, with an ellipsis as the last one. */
static void put_truncated(const char *text, bool truncate, size_t columns, struct buf *out)
{
	const char *p = text, *cut = NULL;
	for (size_t n = 0; truncate && *p; n++) {
		if (n + 1 == columns)
			cut = p;
		do
			p++;
		while (((unsigned char)*p & 0xc0) == 0x80);
		if (n + 1 > columns) {
			buf_append(out, text, (size_t)(cut - text));
			buf_puts(out, "\xe2\x80\xa6");
			return;
		}
	}
	buf_puts(out, text);
}

static void put_command(struct arena *arena, const struct container *container, bool truncate,
			struct buf *out)
{
	struct buf words;
	buf_init(&words, 0);
	for (size_t i = 0; container->args && container->args[i]; i++)
		buf_printf(&words, "%s%s", i ? " " : "", container->args[i]);
	buf_putc(out, '"');
	put_truncated(buf_str(&words), truncate, COMMAND_COLUMNS, out);
	buf_putc(out, '"');
	buf_free(&words);
}

static const char *const protocols[] = {
	[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
};

/* @count ports that follow one another, as one range. */
static void put_ports(const struct network_port *port, size_t count, int family, struct buf *out)
{
	char address[INET6_ADDRSTRLEN] = "";
	if (port->host_ip_set)
		inet_ntop(family, &port->host_ip, address, sizeof(address));
	else
		snprintf(address, sizeof(address), "%s", family == AF_INET ? "0.0.0.0" : "::");
	buf_printf(out, family == AF_INET ? "%s%s:%u" : "%s[%s]:%u", out->len ? ", " : "", address,
		   port->host_port);
	if (count > 1)
		buf_printf(out, "-%u", port[count - 1].host_port);
	buf_printf(out, "->%u", port->container_port);
	if (count > 1)
		buf_printf(out, "-%u", port[count - 1].container_port);
	buf_printf(out, "/%s", protocols[port->protocol]);
}

static bool follows(const struct network_port *a, const struct network_port *b)
{
	return a->protocol == b->protocol && b->container_port == a->container_port + 1 &&
	       b->host_port == a->host_port + 1 && a->host_ip_set == b->host_ip_set &&
	       (!a->host_ip_set || (a->host_family == b->host_family &&
				    memcmp(&a->host_ip, &b->host_ip, sizeof(a->host_ip)) == 0));
}

static void put_endpoint_ports(const struct network_endpoint *endpoint, struct buf *out)
{
	for (size_t i = 0, n; i < endpoint->port_count; i += n) {
		const struct network_port *port = &endpoint->ports[i];
		for (n = 1; i + n < endpoint->port_count && follows(&port[n - 1], &port[n]); n++)
			;
		if (port->host_ip_set) {
			put_ports(port, n, port->host_family, out);
			continue;
		}
		put_ports(port, n, AF_INET, out);
		if (endpoint->has_ipv6)
			put_ports(port, n, AF_INET6, out);
	}
}

void ps_ports(const struct container *container, struct buf *out)
{
	bool running =
		container->status == CONTAINER_RUNNING || container->status == CONTAINER_PAUSED;
	for (size_t i = 0; running && i < container->endpoint_count; i++)
		put_endpoint_ports(&container->endpoints[i], out);
}

static void put_mounts(const struct container *container, bool truncate, struct buf *out,
		       unsigned *ret_volumes)
{
	*ret_volumes = 0;
	for (size_t i = 0; i < container->config.mount_count; i++) {
		const struct mount_config *mount = &container->config.mounts[i];
		if (mount->kind == MOUNT_TMPFS)
			continue;
		*ret_volumes += mount->kind == MOUNT_VOLUME;
		if (out->len)
			buf_putc(out, ',');
		put_truncated(mount->source ? mount->source : "", truncate, 15, out);
	}
}

static void put_labels(const struct container *container, struct buf *out)
{
	for (size_t i = 0; i < container->config.label_count; i++)
		buf_printf(out, "%s%s=%s", i ? "," : "", container->config.labels[i].key,
			   container->config.labels[i].value);
}

static void put_created(const char *rfc3339, struct buf *out)
{
	int64_t seconds;
	char text[64];
	struct tm tm;
	if (time_parse_rfc3339(rfc3339, &seconds) < 0)
		return;
	time_t when = (time_t)seconds;
	if (localtime_r(&when, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm))
		buf_puts(out, text);
}

static int put_size(struct engine *engine, struct arena *arena, const struct container *container,
		    struct buf *out, struct masu_error *err)
{
	char written[HUMAN_MAX], all[HUMAN_MAX];
	uint64_t writable, total;
	int r = engine_size(engine, arena, container, &writable, &total, err);
	if (r == 0)
		buf_printf(out, "%s (virtual %s)", human_size(writable, written),
			   human_size(total, all));
	return r;
}

/* For {{.Label "key"}}, which is a function in docker. */
static void put_label_object(const struct container *container, struct json_writer *w)
{
	json_key(w, "Label");
	json_begin_object(w);
	for (size_t i = 0; i < container->config.label_count; i++)
		json_field_string(w, container->config.labels[i].key,
				  container->config.labels[i].value);
	json_end_object(w);
}

struct row {
	const struct ps_wanted *want;
	struct json_writer w;
	struct buf text; /* of the member being built */
};

static void end_member(struct row *row, const char *key)
{
	json_field_string(&row->w, key, buf_str(&row->text));
	buf_reset(&row->text);
}

/* Members in docker's (alphabetical) order. */
static int write_row(struct row *row, struct arena *arena, struct engine *engine,
		     const struct container *container, struct masu_error *err)
{
	bool truncate = row->want->truncate, size = row->want->size;
	char when[HUMAN_MAX];
	unsigned volumes;
	const char *network = container->config.network ? container->config.network : "bridge";
	put_command(arena, container, truncate, &row->text);
	end_member(row, "Command");
	put_created(container->created, &row->text);
	end_member(row, "CreatedAt");
	buf_append(&row->text, container->id, truncate ? SHORT_ID : strlen(container->id));
	end_member(row, "ID");
	json_field_string(&row->w, "Image", container->config.image);
	if (row->want->label_object)
		put_label_object(container, &row->w);
	put_labels(container, &row->text);
	end_member(row, "Labels");
	put_mounts(container, truncate, &row->text, &volumes);
	struct buf mounts = row->text;
	row->text = (struct buf) { .limit = mounts.limit };
	buf_printf(&row->text, "%u", volumes);
	end_member(row, "LocalVolumes");
	json_field_string(&row->w, "Mounts", buf_str(&mounts));
	buf_free(&mounts);
	json_field_string(&row->w, "Names", container->name);
	json_field_string(&row->w, "Networks", network);
	ps_ports(container, &row->text);
	end_member(row, "Ports");
	buf_printf(&row->text, "%s ago", ago(container->created, when));
	end_member(row, "RunningFor");
	int r = size ? put_size(engine, arena, container, &row->text, err) : 0;
	if (!size)
		buf_puts(&row->text, "0B");
	end_member(row, "Size");
	json_field_string(&row->w, "State", container_status_name(container->status));
	put_status(container, &row->text);
	end_member(row, "Status");
	return r;
}

int ps_row(struct arena *arena, struct engine *engine, const struct container *container,
	   const struct ps_wanted *want, const struct json **ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct row row = { .want = want };
	buf_init(&out, 0);
	buf_init(&row.text, 0);
	json_writer_init(&row.w, &out, false);
	json_begin_object(&row.w);
	int r = write_row(&row, arena, engine, container, err);
	json_end_object(&row.w);
	buf_free(&row.text);
	char *kept = r == 0 && !buf_error(&out) ? arena_strdup(arena, buf_str(&out)) : NULL;
	if (r == 0 && !kept)
		return error_set(err, -ENOMEM, "out of memory");
	return r < 0 ? r : json_parse(arena, kept, out.len, ret, err);
}

/* ---- filters ---- */

static const char *const filter_names[] = { "ancestor", "before",  "exited", "id",     "label",
					    "name",	"network", "since",  "status", "volume" };

int ps_filters_check(const struct cli_list *filters, struct masu_error *err)
{
	for (size_t i = 0; i < filters->count; i++) {
		const char *equals = strchr(filters->items[i], '=');
		size_t len = equals ? (size_t)(equals - filters->items[i]) : 0;
		bool known = false;
		for (size_t k = 0; k < ARRAY_SIZE(filter_names); k++)
			known |= strlen(filter_names[k]) == len &&
				 memcmp(filter_names[k], filters->items[i], len) == 0;
		if (!known)
			return error_set(err, -EINVAL, "invalid filter '%.100s'",
					 filters->items[i]);
	}
	return 0;
}

static bool label_matches(const struct container *container, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	size_t len = equals ? (size_t)(equals - wanted) : strlen(wanted);
	for (size_t i = 0; i < container->config.label_count; i++) {
		const struct oci_pair *label = &container->config.labels[i];
		if (strlen(label->key) == len && memcmp(label->key, wanted, len) == 0)
			return !equals || streq(label->value, equals + 1);
	}
	return false;
}

static const struct container *find(const struct container *all, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (streq(all[i].name, name) || str_after(all[i].id, name))
			return &all[i];
	return NULL;
}

static bool image_matches(const struct container *container, const char *wanted)
{
	const char *image = container->config.image, *rest = str_after(image, wanted);
	return (rest && (!*rest || *rest == ':')) || str_after(container->image_id, wanted) ||
	       (str_after(container->image_id, "sha256:") &&
		str_after(container->image_id + 7, wanted));
}

static bool volume_matches(const struct container *container, const char *wanted)
{
	for (size_t i = 0; i < container->config.mount_count; i++)
		if (streq_null(container->config.mounts[i].source, wanted) ||
		    streq(container->config.mounts[i].target, wanted))
			return true;
	return false;
}

static bool filter_matches(const char *key, const char *value, const struct container *all,
			   size_t count, const struct container *container)
{
	const struct container *other;
	int64_t code;
	if (streq(key, "id"))
		return str_after(container->id, value) != NULL;
	if (streq(key, "name"))
		return strstr(container->name, value + (*value == '^' || *value == '/')) != NULL;
	if (streq(key, "status"))
		return streq(container_status_name(container->status), value);
	if (streq(key, "exited"))
		return container->status == CONTAINER_EXITED && str_to_i64(value, &code) == 0 &&
		       code == container->exit_code;
	if (streq(key, "ancestor"))
		return image_matches(container, value);
	if (streq(key, "volume"))
		return volume_matches(container, value);
	if (streq(key, "network"))
		return streq(container->config.network ? container->config.network : "bridge",
			     value);
	other = find(all, count, value);
	if (!other)
		return false;
	int order = strcmp(container->created, other->created);
	return streq(key, "before") ? order < 0 : order > 0;
}

/* Several values of one key: one of them is enough; labels must all be there. */
bool ps_filters_match(const struct cli_list *filters, const struct container *all, size_t count,
		      const struct container *container)
{
	for (size_t k = 0; k < ARRAY_SIZE(filter_names); k++) {
		size_t given = 0, matched = 0;
		bool labels = streq(filter_names[k], "label");
		for (size_t i = 0; i < filters->count; i++) {
			const char *rest = str_after(filters->items[i], filter_names[k]);
			if (!rest || *rest != '=')
				continue;
			given++;
			matched += labels ? label_matches(container, rest + 1)
					  : filter_matches(filter_names[k], rest + 1, all, count,
							   container);
		}
		if (given && (labels ? matched < given : matched == 0))
			return false;
	}
	return true;
}
